// A page that is served: asks for what is new, and changes what is shown in place. What the reader chose, brushed, opened or
// scrolled to stays: only parts whose text differs are replaced.
"use strict";

const every = Number(document.documentElement.dataset.live) * 1000;
let version = document.documentElement.dataset.version;
document.documentElement.style.overflowAnchor = "none"; // `keptInPlace` does this, for parts that are replaced too

const written = new Map([...document.querySelectorAll("[data-part]")].map((part) => [part.id, part.innerHTML]));

async function refresh() {
  const status = byId("live");
  try {
    const answer = await fetch(`/parts?version=${encodeURIComponent(version)}`);
    if (answer.status === 200) {
      const found = new DOMParser().parseFromString(await answer.text(), "text/html"); // runs no script, fetches no picture
      keptInPlace(() => take(found));
      version = found.documentElement.dataset.version;
    } else if (answer.status !== 204) throw new Error(`${answer.status} ${await answer.text()}`);
    status.textContent = answer.headers.get("X-Sweep-State");
    if (answer.headers.get("X-Sweep-Ended")) return; // nothing more will come
  } catch (error) {
    status.textContent = `No answer from the sweep's page server (${error.message}): what is shown may be old. Asking again every ${every / 1000} s.`;
  }
  setTimeout(refresh, every);
}

function take(found) {
  const cursor = state.cursor?.id;
  data = JSON.parse(found.getElementById("data").textContent);
  for (const fresh of found.querySelectorAll("[data-part]")) {
    const part = byId(fresh.id);
    if (!part || written.get(fresh.id) === fresh.innerHTML) continue;
    written.set(fresh.id, fresh.innerHTML);
    replace(part, fresh);
  }
  showRun(state.run, false);
  state.cursor = rowsOf(runShown()).find((row) => row.id === cursor) ?? null;
  drawAll();
}

function replace(part, fresh) {
  const opened = [...part.querySelectorAll("details")].map((details) => details.open), focused = document.activeElement;
  const across = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft), href = part.contains(focused) ? focused.getAttribute("href") : null;
  purgeIn(part);
  part.replaceChildren(...document.importNode(fresh, true).childNodes);
  part.querySelectorAll("details").forEach((details, i) => { details.open = opened[i] ?? details.open; });
  part.querySelectorAll(".scroll").forEach((box, i) => { box.scrollLeft = across[i] ?? 0; });
  if (href) [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === href)?.focus({ preventScroll: true });
  fillPictures(part);
  plotHeld(part);
}

function keptInPlace(change) {
  const places = [...document.querySelectorAll("[data-part], #explorer > *")].filter((one) => one.getBoundingClientRect().bottom > 0);
  const first = places[0], before = first?.getBoundingClientRect().top;
  change();
  if (first) scrollBy({ top: first.getBoundingClientRect().top - before, behavior: "instant" });
}

setTimeout(refresh, every);
