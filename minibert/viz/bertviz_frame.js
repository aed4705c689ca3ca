// Stands before bertviz's code: what that finds in place of jQuery and require.js, a word when
// something goes wrong, and a way for the keyboard.
"use strict";

addEventListener("error", (event) => {
  const line = document.createElement("p");
  line.setAttribute("role", "alert");
  line.textContent = `Something went wrong in this view: ${event.message}`;
  document.body.prepend(line);
});

// The few parts of jQuery that bertviz calls.
function $(what) {
  const elements = what.startsWith("<")
    ? [document.createElement(what.match(/\w+/)[0])]
    : [...document.querySelectorAll(what)];
  const forEach = (act) => (...given) => {
    elements.forEach((element) => act(element, ...given));
    return chain;
  };
  const chain = {
    elements,
    append: forEach((element, child) => element.append(...child.elements)),
    attr: forEach((element, name, value) => element.setAttribute(name, value)),
    change: forEach((element) => element.dispatchEvent(new Event("change"))),
    empty: forEach((element) => element.replaceChildren()),
    on: forEach((element, name, handler) => element.addEventListener(name, handler)),
    text: forEach((element, text) => { element.textContent = text; }),
    val: forEach((element, value) => { element.value = value; }),
  };
  return chain;
}

// What require.js would fetch lies in this page.
const requirejs = (names, run) => run($, d3);

// The keyboard. bertviz knows the mouse alone: each square, thumbnail and token becomes an item of
// a group, the group one stop of Tab, and the arrows move within it. Focus is what the mouse's
// pointing is, Space and Enter are its click.
{
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const vis = document.getElementById("vis");
  let groups = []; // { items, columns } each, as drawn now

  const all = (selector) => [...vis.querySelectorAll(selector)];

  function addGroup(items, { columns = 1, roles: [groupRole, itemRole], label, itemLabel, state }) {
    if (items.length === 0) return;
    const parents = new Set(items.map((item) => item.parentNode));
    for (const parent of parents) {
      parent.setAttribute("role", groupRole);
      parent.setAttribute("aria-label", label);
    }
    const stop = Math.max(0, items.findIndex((item) => item.getAttribute("tabindex") === "0"));
    items.forEach((item, i) => {
      item.setAttribute("tabindex", i === stop ? 0 : -1);
      item.setAttribute("role", itemRole);
      item.setAttribute("aria-label", itemLabel(item, i));
      if (state) item.setAttribute(...state(item, i));
    });
    groups.push({ items, columns });
  }

  // As drawn now: called after each drawing and each click.
  function prepare() {
    groups = [];
    const token = (item, i) => `${item.querySelector("text").textContent}, token ${i}`;
    const list = { roles: ["listbox", "option"], itemLabel: token };
    const { include_layers: layers, include_heads: heads } = bertviz_params;

    // head_view: a square for each head, and two columns of tokens.
    addGroup(all("#attention + g > rect"), {
      roles: ["group", "checkbox"],
      label: "Heads: Space turns one on or off, Enter shows it alone",
      itemLabel: (item, i) => `head ${i}`,
      // A head that is off has a paler colour, and bertviz keeps its list of them to itself.
      state: (item, i) => {
        const colours = d3.schemeCategory10;
        return ["aria-checked", item.getAttribute("fill") === colours[i % colours.length]];
      },
    });
    const columnOf = (side) => all(`#${side} > g:not(.attentionBoxes) > g`);
    addGroup(columnOf("left"), { ...list, label: "Tokens that look" });
    addGroup(columnOf("right"), { ...list, label: "Tokens that are looked at" });

    // model_view: thumbnails, and the tokens of the one that is open.
    const backgrounds = all(".attn_background");
    addGroup(backgrounds.map((background) => background.parentNode), {
      roles: ["group", "button"],
      columns: heads?.length,
      label: "Attention of each head",
      itemLabel: (item, i) =>
        `layer ${layers[Math.floor(i / heads.length)]}, head ${heads[i % heads.length]}`,
      state: (item, i) =>
        ["aria-expanded", backgrounds[i].getAttribute("stroke-opacity") !== "0"],
    });
    const detail = vis.querySelector("g.detail"); // the first of them holds the tokens that look
    addGroup(detail ? [...detail.children] : [], { ...list, label: "Tokens that look" });

    // neuron_view: the tokens that look, drawn twice, of which one is hidden.
    for (const form of ["collapsed", "expanded"]) {
      addGroup(all(`#${form} > #leftText > g`), {
        roles: ["group", "button"],
        label: "Tokens that look: Enter shows or hides their query and all keys",
        itemLabel: token,
        state: () => ["aria-expanded", form === "expanded"],
      });
    }
  }

  function press(item, key) {
    const square = item.tagName === "rect";
    const place = groups.find(({ items }) => items.includes(item)).items.indexOf(item);
    // In a thumbnail and in a token of neuron_view, what takes the click is drawn last.
    (square ? item : item.lastElementChild).dispatchEvent(
      new MouseEvent(square && key === "Enter" ? "dblclick" : "click", { bubbles: true }),
    );
    if (getComputedStyle(item).visibility === "hidden") {
      const twin = groups.map(({ items }) => items[place]).find((other) => other !== item);
      twin.focus();
    }
  }

  function itemAt(event) {
    const group = groups.find(({ items }) => items.includes(event.target));
    return { group, place: group?.items.indexOf(event.target) };
  }

  new MutationObserver(prepare).observe(vis, { childList: true });
  for (const name of ["click", "dblclick"]) addEventListener(name, prepare);

  vis.addEventListener("keydown", (event) => {
    const { group, place } = itemAt(event);
    if (!group || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in STEPS) {
      const [right, down] = STEPS[event.key];
      group.items[place + right + down * group.columns]?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      press(event.target, event.key);
    } else {
      return;
    }
    event.preventDefault(); // the page would scroll
  });
  vis.addEventListener("focusin", (event) => {
    const { group } = itemAt(event);
    group?.items.forEach((item) => item.setAttribute("tabindex", item === event.target ? 0 : -1));
    event.target.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
  });
  vis.addEventListener("focusout", (event) => {
    event.target.dispatchEvent(new MouseEvent("mouseleave", { bubbles: true }));
  });
}
