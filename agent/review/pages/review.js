// What the pages of a review do in the browser. Nothing comes from outside; pieces of pages come
// from this server, escaped there, and are put in by the one function `piece`.
"use strict";

const base = document.querySelector('meta[name="base"]').content;
const csrf = document.querySelector('meta[name="csrf"]').content;
const trusted = window.trustedTypes
  ? trustedTypes.createPolicy("moonpool", { createHTML: (text) => text })
  : { createHTML: (text) => text };
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// What can wait, waits until something is to be seen. A page in the background is not painted.
const painted = new Promise((seen) => {
  new PerformanceObserver(seen).observe({ type: "paint", buffered: true });
  setTimeout(seen, 1500);
});

async function piece(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const html = trusted.createHTML(await answer.text());
  return new DOMParser().parseFromString(html, "text/html").body;
}

function say(text) {
  let place = one("#said");
  if (!place) {
    place = document.createElement("p");
    place.id = "said";
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => place.remove(), 6000);
}

// Lines of files that are not in the page yet, when they come near.
async function fetchLines(place) {
  if (place.dataset.asked) return;
  place.dataset.asked = "yes";
  try {
    place.replaceWith(...(await piece(place.dataset.lines)).childNodes);
  } catch (error) {
    delete place.dataset.asked;
    say(`These lines can't be fetched: ${error.message}`);
  }
}

const near = new IntersectionObserver(
  (seen) => seen.filter((it) => it.isIntersecting).forEach((it) => fetchLines(it.target)),
  { rootMargin: "1200px" },
);
painted.then(() => all(".lines-later").forEach((place) => near.observe(place)));

// The files behind the first ones, once these are seen. Gives their cards.
async function fetchCards(place) {
  await painted;
  try {
    const found = await piece(place.dataset.cards);
    const made = all(":scope > div > .file", found);
    one("#file-list").append(...all(":scope > ul > li", found));
    one(".cards").append(...made);
    place.remove();
    made.forEach((card) => all(".lines-later", card).forEach((it) => near.observe(it)));
    return made;
  } catch (error) {
    say(`The other files can't be fetched: ${error.message}`);
    return [];
  }
}
const cardsLater = one("#cards-later");
const allCards = cardsLater ? fetchCards(cardsLater) : Promise.resolve([]);

// Unchanged lines between hunks.
async function fetchBetween(button) {
  button.disabled = true;
  try {
    const rows = all("tr", await piece(button.dataset.lines));
    const row = button.closest("tr");
    row.before(...rows);
    button.remove();
    if (!row.textContent.trim()) row.remove();
  } catch (error) {
    button.disabled = false;
    say(`These lines can't be fetched: ${error.message}`);
  }
}

document.addEventListener("click", (event) => {
  const more = event.target.closest("button.more");
  if (more) fetchBetween(more);
});

// Keys: each with its words, for the list that `?` shows.
const keys = new Map();
const key = (name, words, act) => keys.set(name, { words, act });
const typing = (target) => target.closest("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (one("dialog[open]")) return;
  const found = keys.get(event.key);
  if (!found) return;
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  event.preventDefault();
  found.act();
});

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function showKeys() {
  const dialog = element("dialog", "", { "aria-label": "Keys" });
  const list = element("dl", "");
  for (const [name, { words }] of keys) {
    const term = element("dt", "");
    term.append(element("kbd", name));
    list.append(term, element("dd", words));
  }
  const close = element("button", "Close", { type: "button" });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(element("h2", "Keys"), list, close);
  document.body.append(dialog);
  dialog.showModal();
}

key("?", "these keys", showKeys);
one("#keys-button").addEventListener("click", showKeys);
all("nav.top a:not(.brand)").forEach((link, at) =>
  key(String(at + 1), `go to ${link.firstChild.textContent}`, () => link.click()),
);

// The layout, which the server remembers by a cookie.
const layoutButton = one("#layout-button");
if (layoutButton) {
  layoutButton.addEventListener("click", () => {
    document.cookie = `moonpool-layout=${layoutButton.dataset.layout}; path=${base}; samesite=strict`;
    location.reload();
  });
}

// Finding a file: its name, then Enter.
const search = one("#file-search");
if (search) {
  search.addEventListener("input", async () => {
    await allCards;
    const wanted = search.value.toLowerCase();
    for (const item of all("#file-list > li")) item.hidden = !item.dataset.name.includes(wanted);
  });
  search.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // or it would fold the file that gets the focus
    await allCards;
    const wanted = search.value.toLowerCase();
    const items = all("#file-list > li");
    const first = items.find((item) => item.dataset.name.includes(wanted));
    if (!first) return;
    search.blur();
    search.value = "";
    for (const item of items) item.hidden = false;
    goToFile(one(one("a", first).getAttribute("href")));
  });
}

// Moving: the current file has its summary focused, the current line a mark.
const cards = () => all(".cards > .file");
let line = null;

function goToFile(card) {
  if (!card) return;
  setLine(null);
  card.open = true;
  card.scrollIntoView();
  one("summary", card).focus({ preventScroll: true });
}

function currentCard() {
  const focused = document.activeElement.closest(".file");
  if (line && line.isConnected) return line.closest(".file");
  if (focused) return focused;
  return cards().find((card) => card.getBoundingClientRect().bottom > 120);
}

function moveFile(step) {
  const list = cards();
  const here = list.indexOf(currentCard());
  const focused = document.activeElement.closest(".file") || line;
  goToFile(list[Math.max(0, here + (focused ? step : 0))] || list.at(-1));
}

function setLine(row) {
  if (line) line.classList.remove("current");
  line = row;
  if (!row) return;
  row.classList.add("current");
  row.scrollIntoView({ block: "nearest" });
  document.activeElement.blur();
}

const isLine = (row) => !row.matches(".hunk, .why-row, .note-row, .opinion-row");

function moveLine(step, wanted = isLine) {
  const card = currentCard();
  if (!card) return;
  const rows = all("table.diff > tbody > tr", card).filter(wanted);
  if (!rows.length) return;
  if (!line || !line.isConnected) return setLine(rows.find(wanted));
  const after = (row) => line.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
  const next = step > 0 ? rows.find((row) => row !== line && after(row)) : rows.findLast((row) => row !== line && !after(row));
  if (next) setLine(next);
  else {
    const list = cards();
    const other = list[list.indexOf(card) + step];
    if (other) goToFile(other);
  }
}

if (search) {
  key("f", "find a file: type its name, then Enter", () => search.focus());
  key("n", "next file", () => moveFile(1));
  key("p", "previous file", () => moveFile(-1));
  key("j", "next line", () => moveLine(1));
  key("k", "previous line", () => moveLine(-1));
  key("J", "next hunk", () => moveLine(1, (row) => row.matches("[data-hunk]")));
  key("K", "previous hunk", () => moveLine(-1, (row) => row.matches("[data-hunk]")));
  key("w", "why is this line here", () => line && askWhy(line));
  key("u", "unfold the unchanged lines of this file", () => all("button.more", currentCard()).forEach((it) => it.click()));
  key("o", "open or fold this file", () => {
    const card = currentCard();
    if (card) card.open = !card.open;
  });
  key("s", "side by side, or unified", () => layoutButton.click());
}
key("Escape", "close what is open", () => {
  all(".why-row").forEach((row) => row.remove());
  setLine(null);
});

// Why is this line here: by its number.
function numberOf(row, cell) {
  const cells = [...row.children];
  const split = row.closest("table").classList.contains("split");
  const places = split ? { old: 0, new: 2 } : { old: 0, new: 1 };
  const side = cell
    ? Object.keys(places).find((name) => cells[places[name]] === cell)
    : ["new", "old"].find((name) => cells[places[name]]?.textContent);
  const text = side && cells[places[side]].textContent;
  return text ? { side, number: Number(text) } : null;
}

async function askWhy(row, cell = null) {
  const below = row.nextElementSibling;
  if (below && below.matches(".why-row")) return below.remove();
  const at = numberOf(row, cell);
  if (!at) return;
  const card = row.closest(".file");
  const address = card.dataset.why;
  try {
    const found = await piece(`${address}/${at.side}/${at.number}`);
    const answer = element("tr", "", { class: "why-row" });
    const inside = element("td", "", { colspan: row.closest("table").matches(".split") ? "4" : "3" });
    inside.append(...found.childNodes);
    answer.append(inside);
    row.after(answer);
    answer.scrollIntoView({ block: "nearest" });
  } catch (error) {
    say(`Who wrote it can't be told: ${error.message}`);
  }
}

document.addEventListener("click", (event) => {
  const cell = event.target.closest("table.diff td");
  if (!cell || !/^\d+$/.test(cell.textContent)) return;
  const row = cell.parentElement;
  if (!row.matches("tr") || !isLine(row) || !numberOf(row, cell)) return;
  askWhy(row, cell);
});

// A link to a line of a file: #part-3-17.
async function goToLine() {
  const [, part, number] = location.hash.match(/^#part-(\d+)(?:-(\d+))?$/) || [];
  if (!part) return;
  if (!one(`#part-${part}`)) await allCards;
  const card = one(`#part-${part}`);
  if (!card || !card.matches(".file")) return;
  card.open = true;
  const later = one(".lines-later", card);
  if (later) await fetchLines(later);
  goToFile(card);
  if (!number) return;
  const rows = all("table.diff > tbody > tr", card).filter(isLine);
  const row = rows.find((it) => {
    const at = numberOf(it, null);
    return at && at.side === "new" && at.number === Number(number);
  });
  if (row) {
    setLine(row);
    row.scrollIntoView({ block: "center" });
  }
}
window.addEventListener("hashchange", goToLine);
goToLine();

// The timeline: what is shown of it, and what follows while the run goes on.
const steps = one("#timeline");
const filters = all("button[data-filter]");
for (const button of filters) {
  button.addEventListener("click", () => {
    steps.dataset.shown = button.dataset.filter;
    for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
  });
}
if (filters.length) {
  key("x", "show another kind of step", () => {
    const here = filters.findIndex((it) => it.getAttribute("aria-pressed") === "true");
    filters[(here + 1) % filters.length].click();
  });
}

if (steps && steps.dataset.live) {
  const source = new EventSource(steps.dataset.live);
  source.addEventListener("rows", (event) => {
    const html = trusted.createHTML(event.data);
    const atEnd = window.innerHeight + window.scrollY > document.body.scrollHeight - 80;
    steps.append(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
    if (atEnd) window.scrollTo(0, document.body.scrollHeight);
  });
  const ended = (event) => {
    source.close();
    one("#live").textContent = event.data;
    if (event.type === "over") location.reload();
  };
  source.addEventListener("over", ended);
  source.addEventListener("fault", ended);
}
