"use strict";
/* The explorer: boards, beliefs and the rules behind every logit, of the games in #explorer-data.

   The state is four things: the game, the ply to predict, the layer and the square pointed at. It
   lives in the address behind "#", so that a link opens what was looked at; every control changes it
   through go(), and draw() shows it. Numbers in the data are whole: hundredths of a nat, or of
   certainty. */

const DATA = JSON.parse(document.getElementById("explorer-data").textContent);
/** Squares a side of the board, and what they are called. */
const SIZE = DATA.size;
const COLUMNS = "ABCDEFGH".slice(0, SIZE);
const rowOf = (square) => Math.floor(square / SIZE);
const columnOf = (square) => square % SIZE;
const LABELS = [...Array(SIZE * SIZE).keys()].map((s) => COLUMNS[columnOf(s)] + (rowOf(s) + 1));
const inMiddle = (place) => place === SIZE / 2 - 1 || place === SIZE / 2;
const PLAYABLE = [...LABELS.keys()].filter((s) => !(inMiddle(rowOf(s)) && inMiddle(columnOf(s)))); // by token - 1
const TOKEN = new Map(PLAYABLE.map((square, token) => [square, token]));
const COLOUR = { 1: "Black", [-1]: "White" };
/** Nats from zero to the full colour of a square. */
const FULL_TINT = 6;
/** Characters of a sentence that stands there whole. */
const LONGEST = 100;

const $ = (id) => document.getElementById(id);

/** Plain data from base64 of gzipped JSON. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).json();
}

let models = [];
const opened = new Map(); // games that were unpacked, by number
const state = { game: 0, ply: 2, layer: 0, square: -1 };
let focused = -1; // the square that the arrow keys stand on
let writing = 0; // the timer that writes the address: browsers refuse to have it written too often

async function gameAt(number) {
  if (!opened.has(number)) opened.set(number, await unpack(DATA.games[number].packed));
  return opened.get(number);
}

// ------------------------------------------------------------------ building elements

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const element = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);
const shape = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

// ------------------------------------------------------------------ what is shown

/** Hundredths as people read them: "+1.20", "−0.35". */
function signed(hundredths) {
  const text = (Math.abs(hundredths) / 100).toFixed(2);
  return (hundredths < 0 ? "−" : "+") + text;
}

/** What a model answers at a position: for each token, log p, log p − log tau; and the likeliest. */
function answer(model, logits) {
  const nats = logits.map((x) => x * DATA.step);
  const most = Math.max(...nats);
  const whole = most + Math.log(nats.reduce((sum, x) => sum + Math.exp(x - most), 0));
  const logP = nats.map((x) => x - whole);
  return { logP, odds: logP.map((x) => x - model.log_tau), top: PLAYABLE[logits.indexOf(Math.max(...logits))] };
}

/** Layers from 0 on; one further stands for the layer of each model's last word on the board. */
const lastWord = () => Math.max(...models.map((m) => m.layers));

/** The layer of a model whose board is shown. */
function layerOf(model) {
  return state.layer === lastWord() ? model.decisive : Math.min(state.layer, model.layers - 1);
}

/** All that is to be known of one square of one model's board. */
function facts(game, model, seen, square) {
  const position = state.ply - 2;
  const layer = layerOf(model);
  const disc = { x: 1, o: -1, ".": 0 }[game.boards[position + 1][square]];
  const legal = game.legal[position + 1][square] === "+";
  const token = TOKEN.get(square);
  const { odds, top } = answerOf(seen, model, position);
  const decoded = seen.decoded[position][layer][square] * DATA.step;
  return {
    square, disc, legal, decoded,
    wrong: disc !== 0 && decoded !== 0 && Math.sign(decoded) !== disc,
    odds: token === undefined ? null : odds[token],
    top: square === top,
    last: square === game.moves[position],
  };
}

/** The same answer is asked for by every square of a board: it is kept with the game. */
function answerOf(seen, model, position) {
  seen.answers ??= new Map();
  if (!seen.answers.has(position)) seen.answers.set(position, answer(model, seen.logits[position]));
  return seen.answers.get(position);
}

/** A square in words, for those who hear the board. */
function inWords(f) {
  const words = [LABELS[f.square]];
  if (f.disc) {
    words.push(`${COLOUR[f.disc].toLowerCase()} disc`);
    if (f.last) words.push("just played");
    if (f.decoded) {
      words.push(`decoded ${COLOUR[Math.sign(f.decoded)].toLowerCase()} ${Math.abs(f.decoded).toFixed(2)}`);
      if (f.wrong) words.push("wrong");
    } else words.push("not decoded");
  } else {
    words.push(f.legal ? "legal" : "not legal");
    words.push(`${f.odds > 0 ? "predicted" : "not predicted"} ${signed(Math.round(100 * f.odds))}`);
  }
  if (f.top) words.push("likeliest move");
  return words.join(", ");
}

// ------------------------------------------------------------------ boards

/** One square, drawn in the unit square from (0, 0). */
function drawCell(f) {
  const cell = shape("g", {
    role: "gridcell",
    class: "cell",
    transform: `translate(${columnOf(f.square)} ${rowOf(f.square)})`,
    "data-square": f.square,
    "aria-label": inWords(f),
    "aria-selected": f.square === state.square,
    tabindex: f.square === focused ? 0 : -1,
  });
  cell.append(shape("rect", { class: "square", width: 1, height: 1 }));
  if (f.disc) {
    cell.classList.add("taken");
    drawDisc(cell, f);
  } else {
    cell.classList.add(f.odds > 0 ? "for" : "against");
    cell.style.setProperty("--much", `${Math.min(100, (100 * Math.abs(f.odds)) / FULL_TINT).toFixed(0)}%`);
  }
  if (f.legal) cell.append(shape("circle", { class: "dot", cx: 0.5, cy: 0.5, r: 0.09 }));
  if (f.top) cell.append(...topMark(f.legal));
  if (f.square === state.square) cell.append(...frame("chosen", 0.06));
  // Both keep to their corner, however large the style sheet has them.
  if (rowOf(f.square) === SIZE - 1) cell.append(coordinate(COLUMNS[columnOf(f.square)], { x: 0.95, y: 0.95, "text-anchor": "end" }));
  if (columnOf(f.square) === 0) cell.append(coordinate(rowOf(f.square) + 1, { x: 0.05, y: 0.05, dy: "0.75em" }));
  cell.append(...frame("focus", 0.08));
  return cell;
}

/** A frame within the square, on a halo, so that it stands out from every tint. */
const frame = (name, inset) =>
  [`${name}-halo`, name].map((part) =>
    shape("rect", { class: part, x: inset, y: inset, width: 1 - 2 * inset, height: 1 - 2 * inset, rx: 0.04 }));

/** The rim is the true colour, the middle what is decoded; a wrong one has a ring around it. */
function drawDisc(cell, f) {
  const colour = f.disc > 0 ? "black" : "white";
  cell.append(shape("circle", { class: `disc ${colour}`, cx: 0.5, cy: 0.5, r: 0.37 }));
  if (f.decoded) {
    const middle = shape("circle", { class: "decoded", cx: 0.5, cy: 0.5, r: 0.22 });
    middle.style.setProperty("--much", `${(50 + 50 * f.decoded).toFixed(0)}%`);
    cell.append(middle);
  }
  if (f.wrong) cell.append(shape("circle", { class: "wrong-ring", cx: 0.5, cy: 0.5, r: 0.43 }));
  if (f.last) cell.append(shape("circle", { class: "last-dot", cx: 0.86, cy: 0.14, r: 0.08 }));
}

/** A ring where the likeliest move is legal, a cross where it is not. */
function topMark(legal) {
  return ["top-halo", "top"].map((part) =>
    legal
      ? shape("circle", { class: part, cx: 0.5, cy: 0.5, r: 0.3 })
      : shape("path", { class: part, d: "M.28 .28 L.72 .72 M.72 .28 L.28 .72" }),
  );
}

const coordinate = (text, where) =>
  shape("text", { class: "coordinate", "aria-hidden": "true", ...where }, String(text));

function drawBoard(game, model, seen) {
  const all = [...LABELS.keys()].map((square) => facts(game, model, seen, square));
  const grid = shape("svg", { class: "board", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "grid", "aria-label": `Board of ${model.name}` });
  for (let row = 0; row < SIZE; row++)
    grid.append(shape("g", { role: "row" }, ...all.slice(SIZE * row, SIZE * row + SIZE).map(drawCell)));
  return { grid, all };
}

function drawModel(game, model, seen, number) {
  const { grid, all } = drawBoard(game, model, seen);
  const layer = layerOf(model);
  const discs = all.filter((f) => f.disc && f.decoded).length;
  const wrong = all.filter((f) => f.wrong).length;
  const top = all.find((f) => f.top);
  const board = discs
    ? `Layer ${layer}: ${wrong ? `${wrong} of ${discs} discs` : "no disc"} decoded wrongly`
    : `Layer ${layer}: no board yet`;
  const last = layer === model.decisive ? ", its last word on the board" : "";
  const says = `${board}${last}. Likeliest: ${LABELS[top.square]}, ${top.legal ? "legal" : "illegal"}.`;
  const id = `model-${number}`;
  return element("article", { "aria-labelledby": id, "data-model": model.name },
    element("h3", { id }, model.name), element("p", { class: "says" }, says), grid,
    element("p", { class: "read" }, `Board read through ${model.read}.`), drawErrors(game, model, seen));
}

/** Links to the plies of this game at which the likeliest move is illegal. */
function drawErrors(game, model, seen) {
  const wrong = [...Array(seen.logits.length).keys()].filter((position) => {
    const { top } = answerOf(seen, model, position);
    return game.legal[position + 1][top] !== "+";
  });
  if (!wrong.length) return element("p", { class: "errs" }, "No illegal choice in this game.");
  const links = wrong.flatMap((position) => {
    const { top } = answerOf(seen, model, position);
    const ply = position + 2;
    return [" ", element("a", { href: addressOf({ ...state, ply, square: top }), "data-ply": ply }, String(ply))];
  });
  return element("p", { class: "errs" }, `Illegal choice at ${wrong.length === 1 ? "ply" : "plies"}`, ...links);
}

// ------------------------------------------------------------------ why

/** The rules behind one model's logit of a blank square, as a table that adds up. */
function drawReasons(game, model, seen, number) {
  const position = state.ply - 2;
  const token = TOKEN.get(state.square);
  const blank = PLAYABLE.filter((square) => game.boards[position + 1][square] === ".");
  const [constant, rest, ...listed] = seen.why[position][blank.indexOf(state.square)];
  const { logP, odds } = answerOf(seen, model, position);
  const logit = seen.logits[position][token];
  const parts = [];
  for (let at = 0; at < listed.length; at += 2) parts.push({ part: listed[at], adds: listed[at + 1] });
  const most = Math.max(1, ...rest.map(Math.abs), ...parts.map((p) => Math.abs(p.adds)), Math.abs(constant));
  const rows = [];
  if (constant) rows.push(reason("before the layers", "embeddings and biases", constant, most, "rest"));
  for (let layer = 0; layer < model.layers; layer++) {
    const here = parts.filter((p) => Math.floor(p.part / model.per_layer) === layer);
    here.sort((a, b) => Math.abs(b.adds) - Math.abs(a.adds));
    for (const { part, adds } of here) {
      const [place, name, sentence] = model.names[part];
      rows.push(reason(name === place || name.startsWith(place) ? name : `${place} ${name}`, sentence, adds, most, "part"));
    }
    if (rest[layer]) rows.push(reason(`layer ${layer}`, here.length ? "all else in it" : "all of it", rest[layer], most, "rest"));
  }
  const share = 100 * Math.exp(logP[token]);
  const predicted = odds[token] > 0 ? "predicted" : "not predicted";
  const relative = model.relative ? " The logit is taken relative to the mean over all moves." : "";
  const id = `why-${number}`;
  const table = element("table", { "aria-labelledby": id },
    element("thead", {}, element("tr", {},
      element("th", { scope: "col" }, "layer.part"),
      element("th", { scope: "col", class: "number" }, "adds"))),
    element("tbody", {}, ...rows),
    element("tfoot", {}, element("tr", {},
      element("th", { scope: "row" }, "logit"),
      element("td", { class: "number", "data-logit": logit }, signed(logit)))));
  return element("article", { "data-why": model.name },
    element("h4", { id }, model.name),
    element("p", {}, `${share < 0.01 ? "below 0.01" : share.toFixed(2)} % of the probability, ${predicted} (${signed(Math.round(100 * odds[token]))} nats from tau).${relative}`),
    table);
}

function reason(name, sentence, adds, most, kind) {
  const bar = element("span", { class: adds < 0 ? "less" : "more" });
  bar.style.setProperty("--much", `${((100 * Math.abs(adds)) / most).toFixed(1)}%`);
  return element("tr", { class: kind },
    element("th", { scope: "row" }, element("span", { class: "name" }, name), inShort(sentence),
      element("span", { class: "bar", "aria-hidden": "true" }, bar)),
    element("td", { class: "number", "data-adds": adds }, signed(adds)));
}

/** A sentence; of a long one the beginning, which opens to the whole. */
function inShort(sentence) {
  if (sentence.length <= LONGEST) return element("span", { class: "sentence" }, sentence);
  const first = sentence.slice(0, sentence.lastIndexOf(" ", LONGEST));
  return element("details", {}, element("summary", {}, `${first} …`), sentence);
}

/** What is to be seen of the square pointed at: the line that is read out, and what stands below. */
function why(game) {
  if (state.square < 0)
    return ["Choose a blank square on a board, with a click or with the arrow keys and Enter, to see the rules behind its logits."];
  const label = LABELS[state.square];
  const position = state.ply - 2;
  if (game.boards[position + 1][state.square] !== ".") return [`There is a disc on ${label} here: choose a blank square.`];
  const truth = game.legal[position + 1][state.square] === "+" ? "legal" : "not legal";
  const how = "What each head and neuron adds to its logit, the strongest by name, the rest summed layer by layer; in each table the numbers add up to the logit.";
  const columns = models.map((model, number) => drawReasons(game, model, game.models[number], number));
  return [
    `${label} is ${truth} at ply ${state.ply}.`,
    element("p", { class: "situation" }, how),
    element("div", { class: "reasons" }, ...columns),
  ];
}

function drawWhy(game) {
  const [line, ...below] = why(game);
  $("why-title").textContent = state.square < 0 ? "Why?" : `Why ${LABELS[state.square]}?`;
  // Written anew, even the same words would be read out.
  if ($("why-says").textContent !== line) $("why-says").textContent = line;
  $("why-rules").replaceChildren(...below);
}

// ------------------------------------------------------------------ state and address

/** The address of a state, as in "#game=3&ply=41&layer=5&square=C4"; "layer=last" is the last word. */
function addressOf(wanted) {
  const layer = wanted.layer === lastWord() ? "last" : wanted.layer;
  const square = wanted.square >= 0 ? `&square=${LABELS[wanted.square]}` : "";
  return `#game=${wanted.game + 1}&ply=${wanted.ply}&layer=${layer}${square}`;
}

/** What an address asks for; null where it is none of a state. */
function asked(hash) {
  const words = new URLSearchParams(hash.slice(1));
  if (!words.has("game")) return null;
  const whole = (name, other = undefined) => (/^\d+$/.test(words.get(name) ?? "") ? Number(words.get(name)) : other);
  const square = LABELS.indexOf((words.get("square") ?? "").toUpperCase());
  return {
    game: whole("game", 1) - 1,
    ply: whole("ply"),
    layer: words.get("layer") === "last" ? lastWord() : whole("layer"),
    square: square < 0 ? undefined : square,
  };
}

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

/** Go to a state; what is not wanted otherwise stays. A new game opens where its note says. */
async function go(wanted) {
  const number = clamp(wanted.game ?? state.game, 0, DATA.games.length - 1);
  const another = number !== state.game || !opened.has(number);
  const game = await gameAt(number);
  state.game = number;
  const opens = another ? { ply: game.ply, square: game.square } : state;
  state.ply = clamp(wanted.ply ?? opens.ply, 2, game.moves.length + 1);
  state.layer = clamp(wanted.layer ?? state.layer, 0, lastWord());
  state.square = wanted.square ?? opens.square;
  focused = state.square >= 0 ? state.square : focused >= 0 ? focused : game.moves[state.ply - 2];
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", addressOf(state)), 200);
  draw(game);
}

/** Show the state. */
function draw(game) {
  // What has the focus is drawn anew, and its successor is to have it.
  const { ply } = document.activeElement?.dataset ?? {};
  const board = document.activeElement?.closest?.("#boards article")?.dataset.model;
  $("game").value = String(state.game);
  setSlider("ply", 2, game.moves.length + 1, state.ply, `${state.ply} of ${game.moves.length + 1}`);
  const layer = state.layer === lastWord() ? "the last word" : `layer ${state.layer}`;
  setSlider("layer", 0, lastWord(), state.layer, layer);
  $("situation").textContent = situation(game);
  $("boards").replaceChildren(...models.map((model, number) => drawModel(game, model, game.models[number], number)));
  drawWhy(game);
  if (board) (linkOf(board, ply) ?? cellOf(board, focused)).focus();
  document.documentElement.dataset.ready = "yes";
}

function setSlider(id, low, high, value, words) {
  const slider = $(id);
  Object.assign(slider, { min: low, max: high, value });
  slider.setAttribute("aria-valuetext", words);
  $(`${id}-is`).textContent = words;
  // Not `disabled`, which would take the focus from the button that stepped to the end.
  for (const button of document.querySelectorAll(`[data-of="${id}"]`)) {
    const next = value + Number(button.dataset.step);
    button.setAttribute("aria-disabled", next < low || next > high);
  }
}

function situation(game) {
  const position = state.ply - 2;
  const mover = COLOUR[game.movers[position + 1]];
  const passed = game.passes.includes(position + 1) ? `; ${COLOUR[-game.movers[position + 1]].toLowerCase()} had to pass, which no model sees` : "";
  const earlier = game.passes.filter((n) => n <= position).length;
  const before = earlier ? ` ${earlier === 1 ? "A pass" : `${earlier} passes`} went before.` : "";
  return `${game.note} Ply ${state.ply}: ${mover} to move after ${LABELS[game.moves[position]]}${passed}.${before}`;
}

const within = (model, what) => document.querySelector(`article[data-model="${CSS.escape(model)}"] ${what}`);
const cellOf = (model, square) => within(model, `[data-square="${square}"]`);
const linkOf = (model, ply) => within(model, `[data-ply="${ply}"]`);

// ------------------------------------------------------------------ controls

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-SIZE, 0], End: [SIZE, 0] };

/** Arrow keys walk over a board, Enter and the space bar choose. */
function onKey(event) {
  const cell = event.target.closest("[data-square]");
  // With these keys held it is the browser's, as Alt and an arrow for the page before.
  if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
  const square = Number(cell.dataset.square);
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(square, cell);
  } else if (event.key in STEPS) {
    event.preventDefault();
    const [right, down] = STEPS[event.key];
    const column = clamp(columnOf(square) + right, 0, SIZE - 1);
    const row = clamp(rowOf(square) + down, 0, SIZE - 1);
    walkTo(SIZE * row + column, cell);
  }
}

/** One square of every board can be reached with the tab key: the one that was stood on last. */
function walkTo(square, from) {
  focused = square;
  for (const cell of document.querySelectorAll("#boards [data-square]"))
    cell.setAttribute("tabindex", Number(cell.dataset.square) === square ? 0 : -1);
  cellOf(from.closest("article").dataset.model, square).focus();
}

function choose(square, cell) {
  walkTo(square, cell);
  go({ square });
}

function listGames() {
  const groups = new Map();
  DATA.games.forEach(({ kind, title }, number) => {
    if (!groups.has(kind)) groups.set(kind, element("optgroup", { label: kind }));
    groups.get(kind).append(element("option", { value: number }, title));
  });
  $("game").append(...groups.values());
}

/** What the signs on a board mean; drawn as a board draws them. */
function drawLegend() {
  const plain = { square: SIZE + 1, disc: 0, legal: false, decoded: 0, wrong: false, odds: 0, top: false, last: false };
  const signs = [
    [{ disc: 1, decoded: 1 }, "a disc, the middle as it is decoded"],
    [{ disc: 1, decoded: -0.8, wrong: true }, "decoded wrongly"],
    [{ disc: -1, decoded: -1, last: true }, "just played"],
    [{ legal: true }, "truly legal"],
    [{ legal: true, top: true, odds: 3 }, "the likeliest move"],
    [{ top: true, odds: 3 }, "the likeliest move, illegal"],
  ];
  const items = signs.map(([sign, words]) => {
    const cell = drawCell({ ...plain, ...sign });
    for (const name of ["role", "tabindex", "data-square", "aria-label", "aria-selected", "transform"]) cell.removeAttribute(name);
    return element("li", {}, shape("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" }, cell), words);
  });
  const ramp = element("li", {}, "not predicted", element("span", { class: "ramp" }), "predicted (log p − log tau)");
  $("legend").append(...items, ramp);
}

function listen() {
  $("game").addEventListener("change", (e) => go({ game: Number(e.target.value) }));
  for (const id of ["ply", "layer"]) $(id).addEventListener("input", (e) => go({ [id]: Number(e.target.value) }));
  for (const button of document.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => {
      const { of, step } = button.dataset;
      if (button.getAttribute("aria-disabled") !== "true") go({ [of]: state[of] + Number(step) });
    });
  $("controls").addEventListener("submit", (e) => e.preventDefault());
  $("boards").addEventListener("click", (event) => {
    const cell = event.target.closest("[data-square]");
    if (cell) choose(Number(cell.dataset.square), cell);
  });
  $("boards").addEventListener("keydown", onKey);
  addEventListener("hashchange", async () => {
    const wanted = asked(location.hash);
    if (!wanted) return;
    await go(wanted);
    if (!onScreen($("boards"))) moveThere();
  });
}

function onScreen(node) {
  const { top, bottom } = node.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** To the explorer, from a link that lies far from it: the eyes and the keyboard. */
function moveThere() {
  $("explorer").scrollIntoView();
  $("explorer-title").focus({ preventScroll: true });
}

async function start() {
  models = await unpack(DATA.models);
  listGames();
  drawLegend();
  listen();
  const wanted = asked(location.hash);
  state.layer = lastWord();
  if (wanted) {
    await go(wanted);
    $("explorer").scrollIntoView();
  } else {
    await go({});
    clearTimeout(writing); // nobody asked for it: the address stays as it is
  }
  for (const id of ["controls", "legend", "why"]) $(id).hidden = false;
}

start().catch((error) => {
  $("trouble").hidden = false;
  $("trouble").textContent = `The explorer cannot be shown in this browser: ${error.message}`;
});
