// The explorer without a kernel: what the widget's model would hold is in STATE, and stays.
for (const panel of STATE.reply.panels) {
  const bytes = atob(panel.attention.split(",")[1]); // a data URI
  panel.attention = Uint8Array.from(bytes, (char) => char.charCodeAt(0));
}
explorer.render({
  model: { get: (name) => STATE[name], on() {}, off() {} },
  el: document.getElementById("explorer"),
});
