// The page before the first record: asks as a live page does and gives way to it, and says so where nobody answers.
"use strict";

const every = Number(document.documentElement.dataset.waiting) * 1000;

async function ask() {
  const status = document.getElementById("live");
  try {
    const answer = await fetch("/parts");
    if (answer.status === 200) return location.reload();
    if (answer.status !== 204) throw new Error(`${answer.status} ${await answer.text()}`);
    status.textContent = answer.headers.get("X-Sweep-State");
    if (answer.headers.get("X-Sweep-Ended")) return; // nothing more will come
  } catch (error) {
    status.textContent = `No answer from the sweep's page server (${error.message}). Asking again every ${every / 1000} s.`;
  }
  setTimeout(ask, every);
}

setTimeout(ask, every);
