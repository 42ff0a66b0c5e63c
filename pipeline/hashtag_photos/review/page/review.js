"use strict";

// The labelling page. All that comes from the server is shown by textContent; nothing is ever read as HTML.
// Without an answer from the server nothing goes on: what was pressed is kept, and sent again until it is stored.
// Nothing is sent to a server that has not proved, a moment ago, that it is ours: see review/server.py.

const SKIP = "skip";
const KEYS = "1234567890qwertyiopadfghjklzxcvbm"; // of classes; u, s and n are taken
const BREAK_AFTER = 20 * 60_000; // milliseconds of labelling
const IN_THE_MIDDLE = 5_000; // a break isn't suggested between two keys, but after an answer
const WAS_AWAY = 5 * 60_000; // who pressed nothing for so long had a break
const LONG = 2.5; // a picture so many times as long as it is wide, or the other way round, is scrolled
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
let unveiled = false; // whether the picture was seen: nobody answers for one that nobody saw

class Away extends Error {} // no answer, or one that asks for patience
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The server

let proved = false; // whether a server was ours before

async function mac(text) {
  const bytes = new TextEncoder();
  mac.key ??= await crypto.subtle.importKey("raw", bytes.encode(token), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return hex(await crypto.subtle.sign("HMAC", mac.key, bytes.encode(text)));
}

function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The key to the server that is there now, once it has proved that it knows the token, too.
async function key() {
  const nonce = hex(crypto.getRandomValues(new Uint8Array(32)));
  let said = null;
  try {
    const response = await fetch(`/api/proof?nonce=${nonce}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    said = await response.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (said?.proof !== (await mac(`server ${location.port || 80} ${nonce} ${said?.start}`))) {
    if (!proved) throw new Refused(403, "the token in this address is not its own");
    throw new Away("Another program answers here now, and was sent nothing. If the command printed another address, open that one.");
  }
  proved = true;
  return mac(`page ${said.start}`);
}

async function fetched(path, body) {
  let response;
  let sent;
  try {
    sent = await key();
    const headers = { "X-Review-Key": sent };
    if (body) headers["Content-Type"] = "application/json";
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (response.ok) return path.startsWith("/api/picture/") ? await response.blob() : await response.json();
    if (response.status === 403 && (await key()) !== sent) throw new Away("The server was started anew.");
  } catch (error) {
    if (error instanceof Away || error instanceof Refused) throw error;
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
  const seen = on && !$("rest").open && !$("naming").open;
  $("stage").classList.toggle("seen", seen);
  if (seen && !busy && turn?.picture && !unveiled) unveil(true);
}

function unveil(on) {
  unveiled = on;
  const image = $("frame").firstElementChild;
  for (const button of $("classes").children) button.setAttribute("aria-disabled", String(!on));
  if (!image) return;
  const [wide, high] = [image.naturalWidth, image.naturalHeight];
  $("stage").classList.toggle("tall", high > LONG * wide);
  $("stage").classList.toggle("wide", wide > LONG * high && wide * $("frame").clientHeight > LONG * high * $("frame").clientWidth);
}

// Scrolls a long picture while it is seen.
function scroll(right, down) {
  if (!$("stage").classList.contains("seen")) return;
  if ($("stage").classList.contains("wide")) $("frame").scrollBy(right + down, 0);
  else $("frame").scrollBy(0, down);
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
  unveil(false);
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
  if (!unveiled && label !== SKIP) {
    flash("Hold the space bar first, or press and hold the picture: it was not seen yet.");
    return;
  }
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

// What comes back for a coder who is gone meanwhile is not shown to the next one.
async function send(path, body, meanwhile) {
  const who = coder;
  say("notice", "");
  try {
    const next = await insist(path, body, meanwhile);
    if (who !== coder) return false;
    await show(next);
    touched();
    return true;
  } catch (error) {
    if (who === coder) await refused(error);
    else flash(`What ${who} pressed last was not stored: ${error.message}.`);
    return false;
  }
}

async function refused(error) {
  if (!(error instanceof Refused)) throw error;
  const who = coder;
  if (error.status === 409) {
    try {
      const next = await insist(`/api/turn?coder=${encodeURIComponent(who)}`);
      if (who !== coder) return;
      await show(next);
      flash(error.message);
      return;
    } catch (another) {
      error = another;
    }
  }
  if (who === coder) stop(error);
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

let since = Number(sessionStorage.getItem("since")) || 0; // when the coder began, or came back from a break
let active = Number(sessionStorage.getItem("active")) || 0; // when something was pressed

function touched() {
  if (since) return;
  since = Date.now();
  sessionStorage.setItem("since", String(since));
  waitForBreak();
}

// Something is pressed: who had a break meanwhile begins anew.
function acted() {
  if (since && Date.now() - active >= WAS_AWAY) {
    since = 0;
    touched();
  }
  active = Date.now();
  sessionStorage.setItem("active", String(active));
}

function waitForBreak() {
  clearTimeout(waitForBreak.timer);
  const left = Math.max(since + BREAK_AFTER - Date.now(), active + IN_THE_MIDDLE - Date.now(), 0);
  waitForBreak.timer = setTimeout(() => {
    if (Date.now() - active < IN_THE_MIDDLE) waitForBreak();
    else suggestBreak();
  }, left);
}

function suggestBreak() {
  if (!since || Date.now() - since < BREAK_AFTER || $("rest").open || $("naming").open || !turn?.picture) return;
  if (Date.now() - active >= WAS_AWAY) return; // nobody is there
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
  const { key, code } = event;
  if (/^Digit\d$/.test(code) && !event.shiftKey) return code.slice(-1); // also where they give & é "
  if (/^Numpad\d$/.test(code) && /^\p{Nd}$/u.test(key)) return code.slice(-1); // with NumLock off they are arrows
  if (/^Key[A-Z]$/.test(code) && /^\p{L}$/u.test(key) && !/\p{Script=Latin}/u.test(key)) return code.slice(-1).toLowerCase();
  return key.length === 1 ? key.toLowerCase() : key;
}

const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function pressed(event) {
  if (!event.repeat) acted();
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
  if (ARROWS[key] && $("stage").classList.contains("seen")) {
    event.preventDefault();
    const [right, down] = ARROWS[key];
    scroll((right * $("frame").clientWidth) / 3, (down * $("frame").clientHeight) / 3);
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
  target.addEventListener("pointermove", (event) => {
    if (target.hasPointerCapture(event.pointerId)) scroll(-event.movementX, -event.movementY);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) target.addEventListener(end, () => reveal(false));
}

function listen() {
  document.addEventListener("keydown", pressed);
  document.addEventListener("keyup", released);
  document.addEventListener("pointerdown", acted);
  $("stage").addEventListener("wheel", (event) => {
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1;
    if ($("stage").classList.contains("seen")) event.preventDefault();
    scroll(event.deltaX * unit, event.deltaY * unit);
  }, { passive: false });
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
  turn = null; // nothing counts until theirs is there
  wait(true);
  reveal(false);
  $("bars").replaceChildren();
  $("coder").textContent = coder;
  try {
    const next = await insist(`/api/turn?coder=${encodeURIComponent(who)}`);
    if (who !== coder) return;
    sessionStorage.setItem("coder", who);
    await show(next);
  } catch (error) {
    if (who !== coder) return;
    if (!(error instanceof Refused) || error.status !== 400) return refused(error);
    coder = "";
    $("coder").textContent = "";
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
  if (since && Date.now() - active >= WAS_AWAY) since = 0;
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
