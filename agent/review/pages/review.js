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
all(".lines-later").forEach((place) => near.observe(place));

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

const layoutButton = one("#layout-button");
if (layoutButton) {
  layoutButton.addEventListener("click", () => {
    document.cookie = `moonpool-layout=${layoutButton.dataset.layout}; path=${base}; samesite=strict`;
    location.reload();
  });
}

const search = one("#file-search");
if (search) {
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const item of all("#file-list > li")) {
      item.hidden = !item.textContent.toLowerCase().includes(wanted);
    }
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const first = one("#file-list > li:not([hidden]) a");
    if (first) first.click();
    search.blur();
  });
}
