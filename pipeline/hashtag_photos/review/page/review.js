"use strict";

// The labelling page. All that comes from the server is shown by textContent; nothing is ever read as HTML.
// Without an answer from the server nothing goes on: what was pressed is kept, and sent again until it is stored.

const SKIP = "skip";
const KEYS = "1234567890qwertyiopadfghjklzxcvbm"; // of classes; u, s and n are taken
const BREAK_AFTER = 20 * 60_000; // milliseconds of labelling
const IN_THE_MIDDLE = 5_000; // a break isn't suggested between two keys, but after an answer
const PATIENCE = 20_000;
const KEPT = 8; // pictures in memory

const $ = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));

let asked = null; // what the server asks: question, classes, round
let coder = "";
let turn = null; // the picture that is asked, and how far the coder is
let note = "";
let busy = true; // an answer is on its way, or the picture isn't shown yet
let readable = true;

class Away extends Error {} // no answer, or one that asks for patience
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The server

async function fetched(path, body) {
  const headers = { "X-Review-Token": token };
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (response.ok) return path.startsWith("/api/picture/") ? await response.blob() : await response.json();
  } catch {
    throw new Away("The server does not answer: is the command still running?");
  }
  let problem = `the server answered ${response.status}`;
  try {
    problem = (await response.json()).problem;
  } catch {
    // not ours, then the number has to do
  }
  if (response.status >= 500) throw new Away(`The server can't do it now: ${problem}.`);
  throw new Refused(response.status, problem);
}

// Asks until there is an answer. `meanwhile` is what the person at the page has to know if there is none.
async function insist(path, body, meanwhile = "") {
  for (let pause = 500; ; pause = Math.min(2 * pause, 4_000)) {
    try {
      const answer = await fetched(path, body);
      $("alarm").hidden = true;
      return answer;
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      say("alarm", `${error.message} ${meanwhile} This page goes on by itself as soon as it is back.`);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function wait(on) {
  busy = on;
  document.body.setAttribute("aria-busy", String(on));
}

function about() {
  return { coder, round: asked.round, question: asked.key };
}

function say(id, text) {
  if ($(id).textContent !== text || $(id).hidden) $(id).textContent = text; // or a screen reader says it each time
  $(id).hidden = !text;
}

// Pictures: fetched once, some ahead

const pictures = new Map(); // sha256 -> a promise of {image} or {problem}

function picture(sha256, wait) {
  let found = pictures.get(sha256);
  if (!found) {
    found = load(sha256, wait);
    pictures.set(sha256, found);
    found.catch(() => pictures.delete(sha256)); // asked ahead, and not had: asked again when it is its turn
    for (const old of pictures.keys()) {
      if (pictures.size <= KEPT) break;
      pictures.get(old).then(({ image }) => image && URL.revokeObjectURL(image.src)).catch(() => {});
      pictures.delete(old);
    }
  }
  return found;
}

async function load(sha256, wait) {
  const path = `/api/picture/${sha256}`;
  let bytes;
  try {
    bytes = await (wait ? insist(path) : fetched(path));
  } catch (error) {
    if (error instanceof Refused && error.status !== 403) return { problem: error.message };
    throw error;
  }
  const image = new Image();
  image.alt = "The picture to label, blurred until the space bar is held";
  image.draggable = false;
  image.src = URL.createObjectURL(bytes);
  try {
    await image.decode();
  } catch {
    return { problem: "this browser can't show it" };
  }
  return { image };
}

async function pictureNow(sha256) {
  try {
    return await picture(sha256, true);
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    return picture(sha256, true); // it was asked ahead while the server was away
  }
}

// What is shown

function reveal(on) {
  $("stage").classList.toggle("seen", on && !$("rest").open && !$("naming").open);
}

async function show(next) {
  turn = next;
  wait(true);
  reveal(false);
  closeNote();
  keep(turn.note);
  const left = turn.picture !== null;
  say("count", `${turn.done} of ${turn.total}`);
  $("in-all").textContent = turn.in_all === 1 ? "1 answer in all by" : `${turn.in_all} answers in all by`;
  $("bar").style.width = `${(100 * turn.done) / Math.max(turn.total, 1)}%`;
  document.title = `${turn.done} of ${turn.total} · ${asked.question}`;
  $("work").hidden = !left;
  $("done").hidden = left;
  for (const id of ["undo", "undo-last"]) $(id).disabled = !turn.last;
  askShares();
  suggestBreak();
  if (!left) {
    showEnd();
    wait(false);
    return;
  }
  showDispute(turn.dispute);
  $("again").hidden = !turn.again;
  for (const button of $("classes").children) button.classList.remove("pressed");
  const shown = turn;
  const { image, problem } = await pictureNow(turn.picture);
  if (turn !== shown) return;
  reveal(false);
  $("frame").replaceChildren(...(image ? [image] : []));
  $("frame").dataset.picture = turn.picture;
  $("stage").classList.toggle("empty", !image);
  say("unreadable", problem ? `This picture can't be shown: ${problem}. Skip it.` : "");
  readable = !problem;
  for (const button of $("classes").children) button.disabled = !readable;
  wait(false);
  for (const sha256 of turn.ahead) picture(sha256, false).catch(() => {});
}

function showEnd() {
  const settling = asked.round === 2;
  const none = settling ? "There is nothing to settle." : "There is nothing to label.";
  const all = settling ? "All disagreements are settled." : "That was the last one. Thank you!";
  $("frame").replaceChildren();
  $("frame").dataset.picture = "";
  $("done-title").textContent = turn.total ? all : none;
  const skipped = turn.skipped ? ` ${turn.skipped} of them skipped.` : "";
  $("done-text").textContent = turn.total
    ? `${turn.done} of ${turn.total} pictures are ${settling ? "settled" : "labelled"}, and saved.${skipped} You can close this page, and stop the command with Ctrl\u2011C.`
    : "You can close this page, and stop the command with Ctrl\u2011C.";
  $("done-title").focus();
}

function title(label) {
  return label === SKIP ? "Skipped" : (asked.classes.find((each) => each.name === label)?.title ?? label);
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function showDispute(dispute) {
  $("dispute").hidden = !dispute;
  if (!dispute) return;
  $("answers").replaceChildren(
    ...dispute.answers.map((answer) => {
      const item = element("li");
      item.append(element("div", "who", answer.coder), element("div", "said", title(answer.label)));
      if (answer.note) item.append(element("div", "note", answer.note));
      return item;
    }),
  );
  const texts = dispute.texts.map(({ text, posts }) => {
    const item = element("div");
    const quote = element("blockquote", "", text || "(no text)");
    quote.dir = "auto";
    item.append(quote);
    if (posts > 1) item.append(element("p", "quiet", `in ${posts} posts`));
    return item;
  });
  if (dispute.more_posts) texts.push(element("p", "quiet", `and ${dispute.more_posts} more posts with other texts`));
  if (!texts.length) texts.push(element("p", "quiet", "No post with this picture is known."));
  $("texts").replaceChildren(...texts);
}

// Shares: one question at a time, and a tenth of the time at most

let sharesDue = false;
let askingShares = false;

async function askShares() {
  sharesDue = true;
  if (askingShares) return;
  askingShares = true;
  while (sharesDue) {
    sharesDue = false;
    const began = performance.now();
    const who = coder;
    try {
      const shares = await fetched(`/api/shares?coder=${encodeURIComponent(who)}`);
      if (who === coder) showShares(shares);
    } catch {
      // labelling goes on without; what is wrong is said where an answer is at stake
    }
    const took = performance.now() - began;
    if (took > 100) await new Promise((resolve) => setTimeout(resolve, 9 * took));
  }
  askingShares = false;
}

function percent(share, digits) {
  return `${(100 * share).toFixed(digits)}\u00a0%`;
}

function showShares({ n, refused, classes }) {
  const rows = asked.classes.map((each, index) => ({ ...each, index, share: classes.find(({ name }) => name === each.name) }));
  const known = rows.filter(({ share }) => share);
  for (const { name, title, index, share } of known) {
    let row = $(`share-${name}`);
    if (!row) {
      row = element("div");
      row.id = `share-${name}`;
      const term = element("dt");
      term.append(element("span", "", title), element("b", "value"));
      const bars = element("div", "scale");
      bars.append(element("div", `range c${index % 6}`), element("div", `middle c${index % 6}`));
      const detail = element("dd");
      detail.append(bars, element("div", "interval"));
      row.append(term, detail);
      $("bars").append(row);
    }
    const digits = share.high - share.low < 0.05 ? 1 : 0;
    row.querySelector(".value").textContent = percent(share.value, digits);
    row.querySelector(".interval").textContent = `${percent(share.low, digits)} to ${percent(share.high, digits)}`;
    row.querySelector(".range").style.left = `${100 * share.low}%`;
    row.querySelector(".range").style.width = `${100 * (share.high - share.low)}%`;
    row.querySelector(".middle").style.left = `${100 * share.value}%`;
  }
  if (!known.length) $("bars").replaceChildren();
  const whose = asked.round === 2 ? "all that was said" : "your answers alone";
  const basis = `Of the pictures in the whole run, with 95\u00a0% intervals. From ${whose}: ${n} ${n === 1 ? "picture" : "pictures"}.`;
  const none = n ? `None yet: ${refused}.` : "They appear as you label.";
  $("basis").textContent = refused ? none : basis;
}

// What the coder does

async function choose(label) {
  if (busy || !turn.picture || (!readable && label !== SKIP)) return;
  wait(true);
  if (!$("noting").hidden) keep($("note").value.trim()); // it was still being written
  press(label);
  const body = { ...about(), picture: turn.picture, rows: turn.rows, label, note };
  await send("/api/answer", body, `Your answer “${title(label)}” is not saved yet, and kept here.`);
}

async function undo() {
  if (busy || !turn.last) return;
  wait(true);
  const { picture, rows, label } = turn.last;
  const sent = await send("/api/undo", { ...about(), picture, rows }, "What you took back still stands.");
  if (sent) flash(`Taken back: ${title(label)}`);
}

async function send(path, body, meanwhile) {
  say("notice", "");
  try {
    await show(await insist(path, body, meanwhile));
    touched();
    return true;
  } catch (error) {
    await refused(error);
    return false;
  }
}

async function refused(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 409) {
    try {
      await show(await insist(`/api/turn?coder=${encodeURIComponent(coder)}`));
      flash(error.message);
      return;
    } catch (another) {
      error = another;
    }
  }
  stop(error);
}

// Nothing can go on here: said, and what is on the page stays.
function stop(error) {
  wait(true);
  reveal(false);
  const unsaved = turn ? " All answers before this picture are saved." : "";
  const started = "If the command was started anew, open the address it printed.";
  say("alarm", `The server refuses this page: ${error.message}. ${error.status === 403 ? started : ""}${unsaved}`);
}

function flash(text) {
  say("notice", text);
  clearTimeout(flash.timer);
  flash.timer = setTimeout(() => say("notice", ""), 4_000);
}

function press(label) {
  for (const button of $("classes").children) button.classList.toggle("pressed", button.dataset.label === label);
}

// Notes

function keep(text) {
  note = text;
  $("noted").textContent = note || "Note";
  $("write").classList.toggle("has-note", Boolean(note));
}

function openNote() {
  if (busy || !turn.picture) return;
  $("note").value = note;
  $("noting").hidden = false;
  $("note").focus();
}

function closeNote() {
  $("note").blur(); // at once: what is hidden loses the focus only when the page is drawn
  $("noting").hidden = true;
}

// A break: suggested after an answer, or when nobody pressed a key for a while

let since = Number(sessionStorage.getItem("since")) || 0;
let lastKey = 0;

function touched() {
  if (since) return;
  since = Date.now();
  sessionStorage.setItem("since", String(since));
  waitForBreak();
}

function waitForBreak() {
  clearTimeout(waitForBreak.timer);
  const left = Math.max(since + BREAK_AFTER - Date.now(), lastKey + IN_THE_MIDDLE - Date.now(), 0);
  waitForBreak.timer = setTimeout(() => {
    if (Date.now() - lastKey < IN_THE_MIDDLE) waitForBreak();
    else suggestBreak();
  }, left);
}

function suggestBreak() {
  if (!since || Date.now() - since < BREAK_AFTER || $("rest").open || $("naming").open || !turn?.picture) return;
  const minutes = Math.round((Date.now() - since) / 60_000);
  reveal(false);
  $("rest-text").textContent = `You have been at it for ${minutes} minutes.`;
  $("rest").showModal();
}

function rested() {
  $("rest").close();
  since = 0;
  sessionStorage.removeItem("since");
  touched();
}

// Keys, mouse, touch

function keyOf(event) {
  if (/^(Digit|Numpad)\d$/.test(event.code) && !event.shiftKey) return event.code.slice(-1); // also where they give & é "
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

function pressed(event) {
  if (!event.repeat) lastKey = Date.now();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if ($("rest").open) {
    if (["Shift", "CapsLock"].includes(event.key)) return;
    event.preventDefault();
    if (!event.repeat) rested();
    return;
  }
  if ($("naming").open || !turn) return;
  if (event.target === $("note")) {
    if (event.key === "Escape") {
      event.preventDefault();
      closeNote();
    }
    return;
  }
  const key = keyOf(event);
  if (key === " " || (key === "Enter" && event.target === $("look"))) {
    event.preventDefault(); // the space bar presses no button here
    if (!event.repeat) reveal(true);
    return;
  }
  if (key === "Enter" && event.repeat) event.preventDefault();
  const place = KEYS.indexOf(key);
  let act = null;
  if (key.length === 1 && place >= 0 && place < asked.classes.length) act = () => choose(asked.classes[place].name);
  else if (key === "u" || key === "Backspace") act = undo;
  else if (key === "s") act = () => choose(SKIP);
  else if (key === "n") act = openNote;
  if (!act) return;
  event.preventDefault();
  if (!event.repeat) act();
}

function released(event) {
  if (event.key !== " " && event.key !== "Enter") return;
  if (event.target === $("note") || $("naming").open) return;
  if (event.key === " ") event.preventDefault();
  reveal(false);
}

function holdToSee(target) {
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    target.setPointerCapture(event.pointerId);
    reveal(true);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) target.addEventListener(end, () => reveal(false));
}

function listen() {
  document.addEventListener("keydown", pressed);
  document.addEventListener("keyup", released);
  document.addEventListener("visibilitychange", () => reveal(false));
  window.addEventListener("blur", () => reveal(false));
  $("stage").addEventListener("contextmenu", (event) => event.preventDefault()); // of a long press
  holdToSee($("frame"));
  holdToSee($("look"));
  $("undo").addEventListener("click", undo);
  $("undo-last").addEventListener("click", undo);
  $("skip").addEventListener("click", () => choose(SKIP));
  $("write").addEventListener("click", openNote);
  $("coder").addEventListener("click", () => name());
  $("rest").addEventListener("cancel", (event) => event.preventDefault());
  $("rested").addEventListener("click", rested);
  $("noting").addEventListener("submit", (event) => {
    event.preventDefault();
    keep($("note").value.trim());
    closeNote();
  });
}

// Who labels

function name() {
  reveal(false);
  $("name").value = "";
  $("known").hidden = !asked.coders.length;
  $("names").replaceChildren(
    ...asked.coders.map((each) => {
      const button = element("button", "", each);
      button.type = "button";
      button.addEventListener("click", () => begin(each));
      return button;
    }),
  );
  $("naming").showModal();
  $("name").focus();
}

async function begin(who) {
  $("naming").close();
  coder = who;
  $("bars").replaceChildren();
  $("coder").textContent = coder;
  try {
    await show(await insist(`/api/turn?coder=${encodeURIComponent(coder)}`));
    sessionStorage.setItem("coder", coder);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 400) return refused(error);
    name();
    $("name").setCustomValidity(error.message);
    $("name").reportValidity();
  }
}

function classButtons() {
  return asked.classes.map((each, index) => {
    const button = element("button");
    button.type = "button";
    button.dataset.label = each.name;
    const key = KEYS[index];
    if (key) {
      button.append(element("kbd", "", key.toUpperCase()));
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.append(element("span", "", each.title));
    button.addEventListener("click", () => choose(each.name));
    return button;
  });
}

async function start() {
  window.addEventListener("hashchange", () => location.reload()); // another address was opened here
  if (!token) {
    say("alarm", "This address is not the whole one: open the one that the command printed, with all that follows the #.");
    return;
  }
  try {
    asked = await insist("/api/hello");
  } catch (error) {
    stop(error);
    return;
  }
  $("run").textContent = asked.run;
  $("round").hidden = asked.round !== 2;
  $("question").textContent = asked.question;
  $("classes").replaceChildren(...classButtons());
  listen();
  if (since) waitForBreak();
  $("naming").addEventListener("cancel", (event) => coder || event.preventDefault());
  $("name").addEventListener("input", () => $("name").setCustomValidity(""));
  $("name-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("name").value.trim().replace(/\s+/g, " ");
    if (text) begin(text);
  });
  $("coder").disabled = Boolean(asked.coder);
  const known = asked.coder ?? sessionStorage.getItem("coder");
  if (known) begin(known);
  else name();
}

start();
