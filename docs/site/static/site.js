// Predictions and quizzes. Without this script everything is there to read, with nothing folded.
"use strict";

const memory = {
  read(key) { try { return localStorage.getItem(`minibert:${key}`) || ""; } catch { return ""; } },
  write(key, value) { try { localStorage.setItem(`minibert:${key}`, value); } catch { /* private */ } },
};

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// Predictions: what answers one is hidden until its reader has guessed, or asks for it

function isOutput(element) {
  return element.classList.contains("cell");
}

// Everything between a prediction and the mark of its end, which may be in the next section.
function answersOf(mark) {
  const found = [];
  let here = mark;
  while (here) {
    here = here.nextElementSibling;
    if (!here || here.classList.contains("predicted")) break;
    if (here.tagName === "SECTION") break;
    found.push(here);
  }
  return found;
}

function askForPrediction(mark, number) {
  const hidden = [];
  for (const element of answersOf(mark)) {
    if (!isOutput(element)) hidden.push(element);
    else {
      const output = element.querySelector(".cell_output");
      if (output) hidden.push(output);
    }
  }
  if (!hidden.length) return;
  const key = `guess:${location.pathname.split("/").pop()}:${number}`;
  const noted = memory.read(key);
  const label = make("label", { htmlFor: `guess-${number}`, textContent: "Your prediction" });
  const guess = make("input", { id: `guess-${number}`, type: "text", value: noted });
  const show = make("button", { type: "button", textContent: "Show me" });
  const box = make("div", { className: "predict-box" }, label, make("br"), guess, show);
  hidden.forEach((element) => { element.hidden = true; });
  const reveal = () => {
    hidden.forEach((element) => { element.hidden = false; });
    const said = guess.value.trim();
    memory.write(key, said || " ");
    box.replaceChildren(said ? `You predicted: ${said}` : "Here is the answer:");
    box.setAttribute("role", "status");
  };
  show.addEventListener("click", reveal);
  guess.addEventListener("keydown", (event) => { if (event.key === "Enter") reveal(); });
  mark.replaceWith(box);
  if (noted) reveal();
}

// Quizzes: a choice is kept in this browser; afterwards each option says why

function inline(text) {
  const parts = text.split(/`([^`]+)`/);
  return parts.map((part, i) => (i % 2 ? make("code", { textContent: part }) : part));
}

function question(chapter, when, asked, number) {
  const name = `quiz-${chapter}-${when}-${number}`;
  const field = make("fieldset", {}, make("legend", {}, `${number + 1}. `, ...inline(asked.asks)));
  const reason = (option, letter, label) => {
    field.querySelectorAll(".because").forEach((old) => old.remove());
    const right = letter === asked.right;
    const said = make("p", { className: "because" }, ...inline(option.because));
    said.dataset.verdict = right ? "Right." : "No.";
    said.setAttribute("role", "status");
    label.after(said);
  };
  asked.options.forEach((option, place) => {
    const letter = "abcd"[place];
    const choice = make("input", { type: "radio", name, value: letter });
    const label = make("label", {}, choice, " ", ...inline(option.says));
    choice.addEventListener("change", () => {
      memory.write(name, letter);
      if (when === "after") reason(option, letter, label);
    });
    field.append(label);
    if (memory.read(name) === letter) {
      choice.checked = true;
      if (when === "after") reason(option, letter, label);
    }
  });
  return field;
}

function takeQuiz(place) {
  const { chapter, when, questions } = place.dataset;
  const fields = JSON.parse(questions).map((asked, n) => question(chapter, when, asked, n));
  const folded = make("details", { open: when === "after" },
    make("summary", { textContent: when === "after" ? "The same five questions" : "Five questions before you read" }),
    ...fields);
  place.replaceChildren(folded);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".predict").forEach(askForPrediction);
  document.querySelectorAll(".quiz").forEach(takeQuiz);
  // The model of the home page is several MB. The page itself comes first.
  window.addEventListener("load", () => {
    document.querySelectorAll("iframe[data-src]").forEach((frame) => { frame.src = frame.dataset.src; });
  });
});
