// The tuner's front end. Foreign text (label values, names) enters the page as text nodes and attributes only.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 64, right: 12, top: 26, bottom: 36 };
const LANE = 20, MARKS = 18, ROW = 26;
const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 43200, 129600].map((m) => m * MINUTE);
// Milliseconds without a move after which the kernel is told; moves in one question ahead, thresholds that come first in it
// and before all others; answers that are kept, and pictures.
const REST = 200, ASKED = 32, NEXT = 12, NEAR = 48, ANSWERS = 4000, PICTURES = 64;
// Of a list, before it scrolls.
const WHOLE_ROWS = 7;
const LINE_COUNT = 6, LINEAR_SHARE = 0.6666666666666666;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function make(tag, options = {}, ...children) {
  const { text, on, ...attributes } = options;
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener);
  // JupyterLab looks at the focused element itself: keys typed here would run its commands, "d d" deletes the cell.
  if (["button", "input", "select"].includes(tag) || "tabindex" in attributes) element.dataset.lmSuppressShortcuts = "true";
  element.append(...children);
  return element;
}

function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const identifier = (() => { let last = 0; return (name) => `kmon-${name}-${++last}`; })();

// ---- time ---------------------------------------------------------------------------------------

function localZone() {
  try { return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"; } catch { return "UTC"; }
}

function everyZone() {
  try { return Intl.supportedValuesOf("timeZone"); } catch { return []; }
}

class Clock {
  constructor(zone) {
    this.zone = zone;
    const parts = { timeZone: zone, hourCycle: "h23" };
    this.fields = new Intl.DateTimeFormat("en-GB", {
      ...parts, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    });
  }

  read(ms) {
    const found = {};
    for (const { type, value } of this.fields.formatToParts(new Date(ms))) found[type] = value;
    return found;
  }

  offset(ms) {
    const p = this.read(ms);
    const wall = Date.UTC(+p.year, +p.month - 1, +p.day, +p.hour, +p.minute, +p.second);
    return wall - Math.floor(ms / 1000) * 1000;
  }

  day(ms) { const p = this.read(ms); return `${p.year}-${p.month}-${p.day}`; }
  minute(ms) { const p = this.read(ms); return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}`; }

  ticks(start, end, most) {
    const step = TICK_STEPS.find((each) => (end - start) / each <= most) ?? TICK_STEPS.at(-1);
    const found = [];
    let wall = Math.ceil((start + this.offset(start)) / step) * step;
    for (; ; wall += step) {
      // The offset at the tick itself: days of 23 and 25 hours keep their midnights.
      let at = wall - this.offset(wall - this.offset(start));
      if (at > end) break;
      if (at < start) continue;
      const p = this.read(at);
      const midnight = p.hour === "00" && p.minute === "00";
      found.push({ at, text: midnight || step >= DAY ? `${Number(p.day)} ${MONTHS[p.month - 1]}` : `${p.hour}:${p.minute}`, strong: midnight });
    }
    return found;
  }
}

// ---- values -------------------------------------------------------------------------------------

// The inverse of Scale.places in kmon_analysis/report/figure.py.
function valueAt([kind, low, high, linear], place) {
  if (kind === "log") return low * (high / low) ** place;
  if (kind === "linear") return low + place * (high - low);
  const forward = (value) => {
    const share = Math.abs(value) / linear;
    return Math.sign(value) * (share <= 1 ? LINEAR_SHARE * share : LINEAR_SHARE + Math.log10(share));
  };
  const at = forward(low) + place * (forward(high) - forward(low)), length = Math.abs(at);
  return length <= LINEAR_SHARE ? (at / LINEAR_SHARE) * linear : Math.sign(at) * linear * 10 ** (length - LINEAR_SHARE);
}

function shortNumber(value) {
  return Number(value.toPrecision(4)).toLocaleString("en-GB", { maximumSignificantDigits: 4 });
}

// The instants of `_steps` in kmon_analysis/explore/packets.py.
function instants(text, start) {
  let at = start;
  return text ? text.split(",").map((step) => (at += Number(step))) : [];
}

// Under which the answer to a move of one knob is kept: it is the same wherever that knob stood before.
function moveKey(at, move) {
  const knob = Object.keys(move)[0].replace("_stop", "");
  return JSON.stringify([move, { ...at, [knob]: "" }]);
}

function sameKnobs(one, other) { return JSON.stringify({ ...one, shown: "" }) === JSON.stringify({ ...other, shown: "" }); }

function forget(kept, most) { for (const key of kept.keys()) { if (kept.size <= most) break; kept.delete(key); } }

// A name breaks after its commas and equal signs, not within words.
function breakable(text) {
  const parts = text.split(/(?<=[,=·])/).flatMap((part) => [document.createElement("wbr"), part]).slice(1);
  return make("td", { class: /[^,=·\s-]{25}/.test(text) ? "kmon-long" : "" }, ...parts);
}

// ---- the widget ---------------------------------------------------------------------------------

class Tuner {
  constructor(model, element) {
    this.model = model;
    this.root = make("div", { class: "kmon-tuner", "data-kmon": "tuner" });
    element.append(this.root);
    this.texts = {};
    this.values = {};
    this.seq = 0;
    this.inFlight = false;
    this.waiting = null;
    this.preparing = false;
    // What is shown, and whether it answers all that was moved: what the kernel answered ahead is shown at once.
    this.shown = {};
    this.known = true;
    this.answers = new Map();
    this.pictures = new Map();
    this.stills = new Map();
    this.here = localZone();
    this.clock = new Clock("UTC");
    this.controls = {};
    this.lists = {};
    // Of each knob whose box holds what cannot be used: why.
    this.faults = {};
    this.asked = [];
    this.take();
    this.build();
    this.listeners = [
      ["change:view", () => this.answered()],
      ["change:picture", () => { if (!this.picture.key && this.keepPicture()) this.showAll(); }],
      ["change:lists", () => { this.showLists(); this.idle(); }],
      ["change:facts", () => { this.root.replaceChildren(); this.placeKey = this.still = null; this.answers.clear(); this.build(); this.showAll(); }],
      ["msg:custom", (message, buffers) => this.heard(message, buffers)],
    ];
    for (const [name, listener] of this.listeners) model.on(name, listener);
    this.showAll();
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.frame);
    // Whoever leaves for a cell to run finds there what was shown here.
    this.root.addEventListener("focusout", (event) => { if (!this.root.contains(event.relatedTarget)) this.flush(); });
    this.idle();
  }

  destroy() {
    this.flush();
    for (const [name, listener] of this.listeners) this.model.off(name, listener);
    this.observer.disconnect();
    clearTimeout(this.idleTimer);
    clearTimeout(this.sayTimer);
    clearTimeout(this.sizeTimer);
  }

  get facts() { return this.read("facts"); }
  get picture() { return this.pictures.get(this.shown.picture)?.head ?? {}; }
  get points() { return this.pictures.get(this.shown.picture)?.points; }
  get view() { return this.shown; }

  read(name) {
    const text = this.model.get(name);
    if (this.texts[name] !== text) {
      this.texts[name] = text;
      this.values[name] = JSON.parse(text);
    }
    return this.values[name];
  }

  // -- talking to the kernel: one move at a time, the newest wins --

  // Show what the kernel shows.
  take() {
    this.keepPicture();
    this.shown = this.read("view");
  }

  keepPicture() {
    const head = this.read("picture"), news = head.key && !this.pictures.has(head.key);
    if (news) this.keep(head, this.model.get("points"));
    return news;
  }

  keep(head, bytes) {
    const whole = bytes instanceof DataView ? bytes : new DataView(new ArrayBuffer(0));
    const points = new Float32Array(whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.byteLength));
    this.pictures.set(head.key, { head, points });
    forget(this.pictures, PICTURES);
  }

  get nextSeq() { return Math.max(this.seq, this.read("view").seq ?? 0) + 1; }

  // What was answered ahead is shown at once, and told to the kernel when the hand rests.
  send(change, move) {
    const found = move && this.known ? this.answerTo(move) : undefined;
    this.forgive(change);
    this.waiting = { ...(this.waiting ?? {}), ...change };
    this.known = Boolean(found && this.pictures.has(found.picture));
    if (!this.known) return this.flush();
    const { export: held, can_propose: offered } = this.shown;
    this.shown = { ...found, export: held, can_propose: offered, message: "", wrong: false, seq: this.nextSeq };
    this.showAll();
    this.idle();
  }

  flush() {
    this.root.setAttribute("aria-busy", this.known ? "false" : "true");
    if (this.inFlight || this.waiting === null) return;
    const { kind = "move", ...content } = this.waiting;
    this.waiting = null;
    this.inFlight = true;
    this.seq = this.nextSeq;
    this.asked = Object.keys(content);
    const drawn = this.known ? { drawn: this.shown.picture } : {};
    this.model.send({ kind, seq: this.seq, ...drawn, ...content });
  }

  answered() {
    const news = this.read("view");
    if ((news.seq ?? 0) >= this.seq) this.inFlight = false;
    if (news.wrong) this.blame(news);
    if (this.known && this.waiting !== null) {
      // The hand is ahead of this answer.
      Object.assign(this.shown, { export: news.export, can_propose: news.can_propose });
    } else {
      this.take();
      this.known = !this.inFlight && this.waiting === null;
    }
    this.showAll();
    if (!this.known) this.flush();
    this.root.setAttribute("aria-busy", this.known ? "false" : "true");
    this.idle();
  }

  // What is typed anew, or turned otherwise, is judged anew.
  forgive(change) {
    if (change.reset || change.propose) this.faults = {};
    for (const [name, value] of Object.entries(change)) {
      if (value !== undefined) delete this.faults[name === "zone" ? "hours" : name.replace("_stop", "")];
    }
  }

  // A box that holds what cannot be used says so until it is corrected, and nothing is used meanwhile.
  blame({ fields = [], message }) {
    for (const name of fields) if (this.asked.includes(name)) this.faults[name] = message;
    if (this.waiting?.kind !== "use" || !Object.keys(this.faults).length) return;
    const { kind, ...rest } = this.waiting;
    this.waiting = Object.keys(rest).length ? rest : null;
  }

  use() {
    const names = Object.keys(this.faults);
    if (!names.length) return this.send({ kind: "use" });
    this.shown = { ...this.shown, message: `Nothing was used: correct ${names.join(" and ")} first.`, wrong: true };
    this.showAll();
  }

  idle(after = REST) {
    clearTimeout(this.idleTimer);
    this.root.dataset.ahead = "no";
    this.idleTimer = setTimeout(() => this.rested(), after);
  }

  // Nobody moves: the kernel learns where the knobs stand, the lists follow, and the next moves are asked ahead.
  rested() {
    // The answer leads back here.
    if (this.inFlight) return;
    if (this.waiting !== null) {
      this.waiting.lists = true;
      this.flush();
    } else if (!this.listsFit()) {
      this.model.send({ kind: "lists" });
    } else {
      this.showLists();
      this.prepare();
    }
  }

  // Draw one picture that a move would show; tell whether there was any left.
  drawAhead() {
    const width = this.width();
    const heads = this.oneAway().flat().map((move) => this.pictures.get(this.answerTo(move)?.picture)?.head);
    const next = heads.find((head) => head && !this.stills.has(this.stillKey(head, width)));
    if (next) this.stillOf(next, width);
    return Boolean(next);
  }

  // One part at a time: a move that comes meanwhile waits for that one only.
  prepare() {
    if (this.preparing) return;
    const [soon, later] = this.oneAway().map((moves) => moves.filter((move) => this.lacks(move)));
    const moves = soon.length ? soon : later;
    if (!moves.length) {
      if (this.drawAhead()) return this.idle(20);
      // What is stored with the notebook is what is shown.
      if (this.read("picture").key !== this.shown.picture) this.model.send({ kind: "picture" });
      this.root.dataset.ahead = "yes";
      return;
    }
    this.preparing = true;
    this.askedAt = this.shown.at;
    this.model.send({ kind: "prepare", moves: moves.slice(0, ASKED), pictures: [...this.pictures.keys()] });
  }

  heard(message, buffers) {
    if (message?.kind !== "prepared") return;
    message.heads.forEach((head, place) => this.keep(JSON.parse(head), buffers[place]));
    message.moves.forEach((move, place) => {
      const view = JSON.parse(message.answers[place]);
      this.answers.set(moveKey(view.at, move), view);
    });
    if (this.preparing) for (const move of message.failed) this.answers.set(moveKey(this.askedAt, move), null);
    forget(this.answers, ANSWERS);
    this.preparing = false;
    this.idle(20);
  }

  answerTo(move) { return this.answers.get(moveKey(this.shown.at, move)); }

  lacks(move) {
    const found = this.answerTo(move);
    return found === undefined || (found && !this.pictures.has(found.picture));
  }

  // All moves of one knob, in two parts; the kernel answers first what costs it nothing.
  oneAway() {
    const { facts, shown } = this;
    const nearest = (knob, stops) => {
      const here = shown.values[`${knob}_stop`];
      return stops.map((_, place) => place).sort((a, b) => Math.abs(a - here) - Math.abs(b - here)).map((place) => ({ [`${knob}_stop`]: place }));
    };
    const thresholds = nearest("threshold", facts.thresholds), zone = this.controls.hours?.zone.value;
    return [[
      ...thresholds.slice(0, NEXT), ...nearest("for", facts.fors),
      ...facts.groups.map((_, group) => ({ group })), ...facts.hours.map((hours) => ({ hours, zone })),
      ...nearest("window", facts.windows), ...thresholds.slice(NEXT, NEAR),
    ], thresholds.slice(NEAR)];
  }

  // -- building --

  build() {
    const { facts } = this;
    this.controls = {};
    this.lists = {};
    const controls = make("div", { class: "kmon-controls", role: "group", "aria-label": `values of ${facts.name}` });
    if (facts.thresholds.length) controls.append(this.slider("threshold", facts.thresholds, "a number"));
    if (facts.windows.length) controls.append(this.slider("window", facts.windows, 'such as "5m"'));
    controls.append(this.slider("for", facts.fors, 'such as "5m"'));
    if (facts.hours.length) controls.append(this.hours());
    controls.append(this.groupBy());
    if (facts.reason) controls.append(make("p", { class: "kmon-note", text: `The threshold cannot turn: ${facts.reason}.` }));
    this.message = make("div", { class: "kmon-message", role: "alert", "data-kmon": "message" });
    this.numbers = make("div", { class: "kmon-sentence", role: "status", "data-kmon": "numbers" });
    this.table = make("table", { class: "kmon-numbers", "data-kmon": "table" });
    this.frame = make("div", {
      class: "kmon-picture", tabindex: "0", role: "group", "data-kmon": "picture",
      "aria-label": "picture over time: left and right arrow move, plus and minus zoom, 0 shows the whole range",
      on: { keydown: (event) => this.pressed(event), pointermove: (event) => this.hovered(event), pointerleave: () => { this.under.textContent = ""; } },
    });
    this.frame.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    this.under = make("div", { class: "kmon-under", "data-kmon": "under" });
    this.legend = make("div", { class: "kmon-legend" });
    this.lists = { incidents: this.list("incidents"), pages: this.list("pages") };
    this.root.append(
      make("div", { class: "kmon-head" },
        make("h3", { text: facts.name }), make("pre", { text: facts.expression })),
      make("div", { class: "kmon-top" }, controls,
        make("div", { class: "kmon-side" }, this.table, this.numbers,
          make("div", { class: "kmon-buttons" },
            this.button("use these values", () => this.use(), true),
            this.button("back to deployed", () => this.back({ reset: true, propose: undefined })),
            this.proposed = this.button("back to proposed", () => this.back({ propose: true, reset: undefined }))),
          this.exported = make("div", { class: "kmon-export", "data-kmon": "export" }),
          this.message)),
      this.toolbar(), this.frame, this.under, this.legend,
      make("div", { class: "kmon-lists" }, this.lists.incidents.box, this.lists.pages.box),
    );
  }

  button(name, act, main = false) {
    return make("button", { type: "button", class: main ? "kmon-main" : "", text: name, on: { click: act } });
  }

  slider(name, stops, hint) {
    const id = identifier(name);
    const range = make("input", {
      type: "range", id, min: 0, max: Math.max(0, stops.length - 1), step: 1, "aria-label": name,
      on: { input: () => this.slid(name) },
    });
    const box = make("input", {
      type: "text", "aria-label": `${name}, exact`, title: hint, spellcheck: "false", autocomplete: "off",
      on: {
        // What is being typed is not overwritten by an answer to something else.
        input: () => { box.dataset.typing = "yes"; },
        change: () => { delete box.dataset.typing; this.send({ [name]: box.value, [`${name}_stop`]: undefined }); },
        keydown: (event) => event.stopPropagation(),
      },
    });
    const aside = this.aside(name, box);
    this.controls[name] = { range, box, stops, aside };
    return make("div", { class: "kmon-row" }, make("label", { for: id, text: name }), range, box, aside);
  }

  // What there is to say of a knob stands below it.
  aside(name, box) {
    const id = identifier("aside");
    box.setAttribute("aria-describedby", id);
    return make("div", { id, class: "kmon-aside", "data-kmon": `about-${name}`, hidden: "" });
  }

  showAside(name) {
    const { aside, box } = this.controls[name], fault = this.faults[name], text = fault ?? this.view.notes?.[name] ?? "";
    if (aside.textContent !== text) aside.textContent = text;
    aside.hidden = !text;
    aside.classList.toggle("kmon-wrong", fault !== undefined);
    box.setAttribute("aria-invalid", fault === undefined ? "false" : "true");
  }

  slid(name) {
    const { range, box, stops } = this.controls[name];
    const stop = Number(range.value);
    box.value = stops[stop];
    range.setAttribute("aria-valuetext", stops[stop]);
    if (name === "threshold" && this.picture.places) this.moveLine(this.picture.places[stop]);
    this.send({ [`${name}_stop`]: stop, [name]: undefined }, { [`${name}_stop`]: stop });
  }

  hours() {
    const id = identifier("hours");
    const own = make("input", {
      type: "text", "aria-label": "hours, as text", placeholder: "Mon-Fri 08:00-18:00", spellcheck: "false", hidden: "",
      on: { change: () => this.sendHours(), keydown: (event) => event.stopPropagation() },
    });
    const known = identifier("zones");
    const zone = make("input", {
      type: "text", "aria-label": "time zone of the hours", title: "time zone of the hours, such as Europe/Berlin", list: known,
      spellcheck: "false", hidden: "",
      on: { change: () => this.sendHours(), keydown: (event) => event.stopPropagation() },
    });
    const select = make("select", { id, "aria-label": "hours", on: { change: () => this.sendHours() } },
      ...this.facts.hours.map((text) => make("option", { value: text, text })),
      make("option", { value: "own", text: "other hours…" }));
    zone.value = this.here;
    const aside = this.aside("hours", own);
    this.controls.hours = { select, own, zone, aside, box: own };
    const zones = make("datalist", { id: known }, ...everyZone().map((value) => make("option", { value })));
    return make("div", { class: "kmon-row kmon-hours" }, make("label", { for: id, text: "hours" }),
      make("span", { class: "kmon-wide" }, select, own, zone, zones), aside);
  }

  showHours() {
    const { select, own, zone } = this.controls.hours;
    own.hidden = select.value !== "own";
    // Hours mean nothing without their zone.
    for (const each of select.options) {
      const named = !["own", "as deployed", "at all hours"].includes(each.value);
      const text = named ? `${each.value} ${zone.value}` : each.text;
      if (each.text !== text) each.text = text;
    }
    zone.hidden = select.value === "as deployed" || select.value === "at all hours";
  }

  sendHours() {
    const { select, own, zone } = this.controls.hours;
    this.showHours();
    // Until something is written there, answers of the kernel leave the empty box alone.
    this.writingHours = select.value === "own" && !own.value.trim();
    if (this.writingHours) { own.focus(); return this.send({ zone: zone.value }); }
    const turned = { hours: select.value === "own" ? own.value : select.value, zone: zone.value };
    this.send(turned, turned);
  }

  back(change) {
    this.writingHours = false;
    this.send(change);
  }

  groupBy() {
    const id = identifier("group");
    const select = make("select", { id, "aria-label": "group by", on: { change: () => this.grouped(select) } },
      ...this.facts.groups.map((text, place) => make("option", { value: place, text })));
    this.controls.group = { select };
    return make("div", { class: "kmon-row" }, make("label", { for: id, text: "group by" }),
      make("span", { class: "kmon-wide" }, select));
  }

  grouped(select) {
    const turned = { group: Number(select.value) };
    this.send(turned, turned);
  }

  toolbar() {
    const select = make("select", {
      "aria-label": "time zone", on: { change: () => { this.clock = new Clock(select.value); this.showAll(true); } },
    }, make("option", { value: "UTC", text: "UTC" }));
    this.zones = select;
    if (this.here !== "UTC") select.append(make("option", { value: this.here, text: `${this.here} (this browser)` }));
    const others = everyZone().filter((zone) => zone !== "UTC" && zone !== this.here);
    select.append(make("optgroup", { label: "all zones" }, ...others.map((value) => make("option", { value, text: value }))));
    this.offerZone(this.view.values?.zone);
    select.value = this.clock.zone;
    this.stretch = make("span", { class: "kmon-note", "data-kmon": "shown" });
    this.fit = make("input", { type: "checkbox", on: { change: () => this.send({ fit: this.fit.checked }) } });
    const fit = this.facts.thresholds.length ? [make("label", {}, this.fit, " fit the axis to what is shown")] : [];
    return make("div", { class: "kmon-toolbar", role: "group", "aria-label": "what is shown" },
      this.button("whole range", () => this.zoom(...this.facts.period)),
      this.button("zoom in", () => this.scaled(0.5)), this.button("zoom out", () => this.scaled(2)),
      make("label", { text: "time zone " }, select), ...fit, this.stretch);
  }

  // The zone of the hours that were chosen, beside UTC and the browser's own.
  offerZone(zone) {
    if (!zone || [...this.zones.options].some((each) => each.value === zone)) return;
    try { new Clock(zone); } catch { return; }
    this.zones.append(make("option", { value: zone, text: `${zone} (of the hours)` }));
  }

  list(name) {
    const caption = make("h4", { text: name });
    const body = make("tbody");
    const table = make("table", {}, body);
    const scroll = make("div", { class: "kmon-scroll" }, table);
    const box = make("section", { class: "kmon-list", "aria-label": name, "data-kmon": name }, caption, scroll);
    return { box, caption, scroll, table, body, key: "" };
  }

  // Half a row looks like the end of the list: whole ones, and a shadow where there are more.
  wholeRows({ scroll, body }) {
    const last = body.rows[Math.min(WHOLE_ROWS, body.rows.length) - 1];
    scroll.style.maxHeight = last && body.rows.length > WHOLE_ROWS ? `${last.offsetTop + last.offsetHeight + 1}px` : "none";
  }

  // -- showing --

  showAll(again = false) {
    if (!this.view.numbers) return;
    this.showControls();
    this.showNumbers();
    this.draw();
    if (again || this.lists.pages.key === "") this.showLists(again);
  }

  // Lists are long and read at rest.
  listsFit() { return this.known && sameKnobs(this.read("lists").at, this.view.at); }

  showLists(again = false) {
    const lists = this.read("lists"), fit = this.listsFit();
    if (!lists.at || !(fit || again || this.lists.pages.key === "")) return;
    this.showIncidents(lists, again);
    this.showPages(lists, again);
    for (const list of Object.values(this.lists)) this.wholeRows(list);
    if (fit) for (const { box } of Object.values(this.lists)) box.dataset.seq = this.view.seq;
  }

  showControls() {
    const { values } = this.view;
    const busy = !this.known;
    if (!busy) this.fit.checked = Boolean(this.picture.fit);
    for (const name of ["threshold", "window", "for"]) {
      const control = this.controls[name];
      if (!control) continue;
      // A hand on the slider is ahead of the kernel: it is not pulled back.
      if (!busy) {
        control.range.value = values[`${name}_stop`];
        const typing = document.activeElement === control.box && control.box.dataset.typing;
        if (!typing && !(name in this.faults)) control.box.value = values[name];
      }
      this.showAside(name);
      control.range.setAttribute("aria-valuetext", control.box.value);
    }
    if (this.controls.hours && !busy && !this.view.wrong && !("hours" in this.faults) && !this.writingHours) {
      const { select, own, zone } = this.controls.hours;
      select.value = this.facts.hours.includes(values.hours) ? values.hours : "own";
      if (select.value === "own") own.value = values.hours;
      if (values.zone) zone.value = values.zone;
      this.offerZone(values.zone);
      this.showHours();
    }
    if (this.controls.hours) this.showAside("hours");
    if (this.controls.group && !busy) this.controls.group.select.value = values.group;
    this.proposed.hidden = !this.view.can_propose;
    if (this.exported.textContent !== this.view.export) this.exported.textContent = this.view.export;
    if (this.message.textContent !== this.view.message) this.message.textContent = this.view.message;
    this.message.classList.toggle("kmon-wrong", Boolean(this.view.wrong));
  }

  showNumbers() {
    const { view } = this;
    const numbers = { seq: view.seq, chosen: view.numbers.chosen, deployed: view.numbers.deployed, values: view.values, period: this.picture.period };
    this.numbers.dataset.numbers = JSON.stringify(numbers);
    clearTimeout(this.sayTimer);
    // Spoken once the hand rests, not at every stop on the way.
    this.sayTimer = setTimeout(() => { this.numbers.textContent = view.sentence; }, this.numbers.textContent ? 350 : 0);
    const cells = this.table.querySelectorAll("tbody td");
    const told = view.rows.flatMap(([, deployed, chosen]) => [chosen, deployed]);
    if (cells.length === told.length) {
      told.forEach((text, place) => { if (cells[place].textContent !== text) cells[place].textContent = text; });
      return;
    }
    this.table.replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), make("th", { scope: "col", text: "chosen" }), make("th", { scope: "col", text: "deployed" }))),
      make("tbody", {}, ...view.rows.map(([name, deployed, chosen]) =>
        make("tr", {}, make("th", { scope: "row", text: name }), make("td", { class: "kmon-chosen", text: chosen }), make("td", { text: deployed })))),
    );
  }

  showIncidents({ incidents: rows }, again) {
    const list = this.lists.incidents;
    const key = JSON.stringify(rows);
    if (!again && key === list.key) return;
    list.key = key;
    list.caption.textContent = rows.length ? `incidents (${rows.length})` : "no incident concerns this rule";
    list.body.replaceChildren(...rows.map((row) => make("tr", {},
      make("td", {}, this.jump(row, `${row.found ? "▼" : "▽"} ${row.id}`, `zoom to incident ${row.id}, ${row.status}`)),
      make("td", { text: this.clock.minute(row.start) }),
      make("td", { text: row.must ? row.status : `${row.status} (need not page)` }),
      make("td", { text: row.delay === "–" || row.status === "found early" ? "" : `after ${row.delay}` }))));
  }

  showPages({ pages, more_pages: more }, again) {
    const list = this.lists.pages;
    const key = JSON.stringify([pages, more]);
    if (!again && key === list.key) return;
    list.key = key;
    list.caption.textContent = more ? `pages (the first ${pages.length} of ${pages.length + more})` : `pages (${pages.length})`;
    const sign = { true: "▲", duplicate: "△", false: "✕", excluded: "◦" };
    list.body.replaceChildren(...pages.map((page) => {
      const when = this.clock.minute(page.start);
      return make("tr", { class: `kmon-${page.kind}` },
        make("td", {}, this.jump(page, `${sign[page.kind]} ${when}`, `zoom to page ${when}, ${page.words}`)),
        make("td", { text: page.length }), make("td", { text: page.words }), breakable(page.alert));
    }));
  }

  jump(span, text, name) {
    return make("button", { type: "button", class: "kmon-jump", text, "aria-label": name, on: { click: () => {
      this.zoomTo(span);
      // The lists stand below the picture: where it is out of sight nothing would seem to happen.
      this.frame.scrollIntoView({ block: "nearest" });
    } } });
  }

  // -- zooming --

  zoomTo({ start, end }) {
    const air = Math.max(2 * HOUR, 1.5 * (end - start));
    this.zoom(start - air, end + air);
  }

  scaled(factor) {
    const [start, end] = this.picture.period;
    const middle = (start + end) / 2, half = ((end - start) / 2) * factor;
    this.zoom(middle - half, middle + half);
  }

  shifted(share) {
    const [start, end] = this.picture.period;
    const [first, last] = this.facts.period;
    const by = Math.max(first - start, Math.min(share * (end - start), last - end));
    this.zoom(start + by, end + by);
  }

  zoom(start, end) {
    const [first, last] = this.facts.period;
    this.send({ period: [Math.round(Math.max(first, start)), Math.round(Math.min(last, end))] });
  }

  // The notebook scrolls by the wheel, too: only with Ctrl, or in a picture that has the focus, does it zoom.
  wheeled(event) {
    if (!event.ctrlKey && document.activeElement !== this.frame) return;
    event.preventDefault();
    const [start, end] = this.waiting?.period ?? this.picture.period;
    const at = start + this.share(event) * (end - start), factor = event.deltaY > 0 ? 1.25 : 0.8;
    this.zoom(at - (at - start) * factor, at + (end - at) * factor);
  }

  share(event) {
    const left = this.frame.getBoundingClientRect().left + MARGIN.left;
    return Math.max(0, Math.min(1, (event.clientX - left) / this.across));
  }

  // Value and time of the drawn point nearest to the pointer, within a few pixels.
  hovered(event) {
    const { picture } = this;
    if (!picture.lines?.length || !this.points) return;
    const share = this.share(event), reach = 12, y = event.clientY - this.frame.getBoundingClientRect().top;
    let at = 0, best = null, near = 40;
    for (const line of picture.lines) {
      const xs = this.points.subarray(at, at + line.size), ys = this.points.subarray(at + line.size, at + 2 * line.size);
      at += 2 * line.size;
      let low = 0, high = xs.length;
      while (low < high) { const middle = (low + high) >> 1; if (xs[middle] < share - reach / this.across) low = middle + 1; else high = middle; }
      for (; low < xs.length && xs[low] <= share + reach / this.across; low += 1) {
        if (Number.isNaN(ys[low])) continue;
        const far = Math.hypot((xs[low] - share) * this.across, this.high(ys[low]) - y);
        if (far < near) { near = far; best = { line, x: xs[low], y: ys[low] }; }
      }
    }
    const [start, end] = picture.period;
    this.under.textContent = best
      ? `${best.line.name}: ${shortNumber(valueAt(picture.axis, best.y))} at ${this.clock.minute(start + best.x * (end - start))}` : "";
  }

  pressed(event) {
    const act = {
      ArrowLeft: () => this.shifted(-0.25), ArrowRight: () => this.shifted(0.25),
      "+": () => this.scaled(0.5), "=": () => this.scaled(0.5), "-": () => this.scaled(2),
      0: () => this.zoom(...this.facts.period), Home: () => this.zoom(...this.facts.period),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  resized() {
    this.wide = this.frame.clientWidth;
    clearTimeout(this.sizeTimer);
    this.sizeTimer = setTimeout(() => {
      const columns = Math.round(this.width());
      if (columns > 100 && Math.abs(columns - (this.columns ?? 0)) > 20) {
        this.columns = columns;
        this.draw();
        this.send({ columns });
      }
    }, 120);
  }

  // Asking the page for it in the middle of a move would make it lay itself out.
  width() {
    this.wide ??= this.frame.clientWidth;
    return Math.max(200, (this.wide || 900) - MARGIN.left - MARGIN.right);
  }

  // -- drawing --

  // What a move of the threshold leaves alone lies in a picture of its own: it need not be drawn again.
  draw() {
    const { picture } = this;
    if (!picture.period) return;
    const width = this.width();
    const still = this.stillOf(picture, width);
    if (still !== this.still) {
      this.still = still;
      this.placeStill(picture, width);
    }
    this.drawMoving();
  }

  // Drawn before, it only takes its place.
  stillOf(picture, width) {
    const key = this.stillKey(picture, width);
    if (!this.stills.has(key)) this.stills.set(key, this.drawStill(picture, width));
    forget(this.stills, PICTURES);
    return this.stills.get(key);
  }

  stillKey(picture, width) { return [picture.key, width, this.clock.zone].join(); }

  measure(picture, width) {
    const [start, end] = picture.period;
    const tall = picture.present ? 20 + ROW * Math.max(2, picture.present.length) : 250;
    const lanes = MARGIN.top + tall + 8, axis = lanes + 2 * LANE + MARKS;
    const size = { width: width + MARGIN.left + MARGIN.right, height: axis + MARGIN.bottom, "aria-hidden": "true", focusable: "false" };
    const x = (ms) => ((ms - start) / Math.max(1, end - start)) * width;
    return { start, end, tall, lanes, axis, size, x, across: width };
  }

  placeStill(picture, width) {
    const measures = this.measure(picture, width), { start, end, axis, size } = measures;
    const key = [start, end, width, axis].join();
    if (key !== this.placeKey) {
      this.placeKey = key;
      Object.assign(this, measures);
      const [moving, over, changing] = this.layer({ ...size, class: "kmon-moving" }, width);
      over.append(changing);
      this.changing = changing;
      this.line = this.facts.thresholds.length ? this.level(0, "kmon-chosen-line", width, "chosen", width - 4) : null;
      if (this.line) over.append(this.line);
      this.pointer(moving, width, axis, start, end);
      this.frame.replaceChildren(make("div", { class: "kmon-layers" }, this.still, moving));
    } else {
      this.frame.querySelector(".kmon-still").replaceWith(this.still);
    }
    this.drawLegend(picture);
    this.stretch.textContent = `${this.clock.minute(start)} to ${this.clock.minute(end)}, ${this.clock.zone}`;
  }

  drawStill(picture, width) {
    const { facts } = this;
    // What is drawn ahead may have another height than what is shown.
    const kept = { x: this.x, tall: this.tall, start: this.start };
    const { start, end, tall, lanes, axis, size, x } = this.measure(picture, width);
    Object.assign(this, { x, tall, start });
    const [still, inner, inside] = this.layer({ ...size, class: "kmon-still" }, width);
    this.drawBands(inside, picture.bands, axis);
    this.drawAxis(inner, picture, width);
    inner.append(inside);
    if (picture.lines.length || picture.rest) this.drawLines(inside, picture, width, this.pictures.get(picture.key).points);
    if (picture.present) this.drawPresence(inside, inner, picture.present);
    if (picture.empty) inner.append(this.words("The expression returned nothing in this time", width / 2, MARGIN.top + this.tall / 4, "middle"));
    if (picture.infinite) inner.append(this.words(`${picture.infinite} infinite values are not drawn`, width, MARGIN.top + 12, "end"));
    if (facts.thresholds.length) {
      const deployed = this.level(picture.deployed.place, "kmon-deployed-line", width, "deployed", 4);
      this.moveLine(picture.deployed.place, deployed, "deployed");
      inside.append(deployed);
    }
    this.drawLane(inside, picture.deployed.pending, picture.deployed.firing, lanes + LANE);
    inner.append(this.words("chosen", -6, lanes + LANE / 2 + 4, "end", "kmon-tick"),
      this.words("deployed", -6, lanes + 1.5 * LANE + 4, "end", "kmon-tick"));
    this.drawTime(inner, start, end, axis, width);
    if (kept.x) Object.assign(this, kept);
    return still;
  }

  drawMoving() {
    const { view, lanes } = this;
    this.changing.replaceChildren();
    this.drawLane(this.changing, view.pending, view.firing, lanes);
    this.drawMarks(this.changing, view.marks, lanes + 2 * LANE + MARKS / 2);
    this.drawIncidentMarks(this.changing);
    // The line of a hand on the slider is ahead of the kernel.
    if (this.line && this.known) this.moveLine(view.place);
  }

  layer(attributes, width) {
    const clip = identifier("clip");
    const inner = shape("g", { transform: `translate(${MARGIN.left},0)` });
    const inside = shape("g", { "clip-path": `url(#${clip})` });
    const svg = shape("svg", attributes,
      shape("defs", {}, shape("clipPath", { id: clip }, shape("rect", { x: 0, y: 0, width, height: attributes.height }))), inner);
    return [svg, inner, inside];
  }

  words(text, x, y, anchor = "start", kind = "kmon-words") {
    const element = shape("text", { x, y, "text-anchor": anchor, class: kind });
    element.textContent = text;
    return element;
  }

  high(place) { return MARGIN.top + (1 - Math.max(-0.02, Math.min(1.02, place))) * this.tall; }

  level(place, kind, width, name, at) {
    const group = shape("g", { class: kind, transform: `translate(0,${this.high(place)})` },
      shape("line", { x1: 0, x2: width, y1: 0, y2: 0 }),
      this.words(name, at, -4, at > width / 2 ? "end" : "start", "kmon-over"));
    return group;
  }

  // A line beyond the axis stays at its edge, and says so.
  moveLine(place, line = this.line, name = "chosen") {
    if (!line) return;
    line.setAttribute("transform", `translate(0,${this.high(place)})`);
    const words = line.querySelector("text"), beyond = place > 1.02 ? ", above ↑" : place < -0.02 ? ", below ↓" : "";
    if (words.textContent === name + beyond) return;
    words.textContent = name + beyond;
    // Above the picture stand the unit and the marks of incidents.
    words.setAttribute("y", place > 1.02 ? 14 : -4);
  }

  drawBands(into, bands, bottom) {
    for (const band of bands) {
      const left = this.x(band.start), wide = Math.max(2, this.x(band.end) - left);
      into.append(shape("rect", { x: left - (wide === 2 ? 1 : 0), y: MARGIN.top, width: wide, height: bottom - MARGIN.top, class: `kmon-band kmon-band-${band.kind}` }));
    }
  }

  drawAxis(into, picture, width) {
    for (const [place, text] of picture.ticks ?? []) {
      const y = this.high(place);
      into.append(shape("line", { x1: 0, x2: width, y1: y, y2: y, class: "kmon-grid" }), this.words(text, -6, y + 4, "end", "kmon-tick"));
    }
    into.append(shape("line", { x1: 0, x2: 0, y1: MARGIN.top, y2: MARGIN.top + this.tall, class: "kmon-edge" }));
    const unit = [picture.unit, picture.scale].filter(Boolean).join(", ");
    into.append(this.words(unit, 4 - MARGIN.left, 12, "start", "kmon-tick"));
  }

  drawLines(into, picture, width, points) {
    let at = 0;
    const sizes = [...picture.lines.map((line) => line.size), ...(picture.rest_sizes ?? [])];
    const drawn = sizes.map((size, place) => {
      const xs = points.subarray(at, at + size), ys = points.subarray(at + size, at + 2 * size);
      at += 2 * size;
      // Whole tenths of a pixel, each place once: a string of whole numbers is made and read much faster.
      const parts = [];
      let pen = "M", lastX = NaN, lastY = NaN;
      for (let i = 0; i < size; i += 1) {
        if (Number.isNaN(ys[i]) || Number.isNaN(xs[i])) { pen = "M"; continue; }
        const px = Math.round(xs[i] * width * 10), py = Math.round(this.high(ys[i]) * 10);
        if (pen === "L" && px === lastX && py === lastY) continue;
        parts.push(pen, px, " ", py);
        pen = "L"; lastX = px; lastY = py;
      }
      const path = parts.join("");
      const rest = place >= picture.lines.length;
      return shape("path", { d: path || "M0 0", class: rest ? "kmon-line kmon-rest" : `kmon-line kmon-line-${picture.lines[place].colour % LINE_COUNT}` });
    });
    into.append(shape("g", { transform: "scale(0.1)" }, ...drawn.reverse()));
  }

  bars(runs, y, high, kind) {
    const edges = instants(runs, this.start).map(this.x), parts = [];
    for (let at = 0; at < edges.length; at += 2) {
      const left = edges[at], wide = Math.max(1, edges[at + 1] - left).toFixed(1);
      parts.push(`M${left.toFixed(1)} ${y}h${wide}v${high}h-${wide}z`);
    }
    return shape("path", { d: parts.join("") || "M0 0", class: kind });
  }

  drawPresence(into, beside, rows) {
    rows.forEach((row, place) => {
      const y = MARGIN.top + 14 + place * ROW;
      into.append(this.bars(row.runs, y, ROW * 0.45, "kmon-present"));
      beside.append(this.words(row.name, 4, y - 3, "start", "kmon-tick kmon-over"));
    });
  }

  drawLane(into, pending, firing, y) {
    into.append(this.bars(pending, y + (LANE - 6) / 2, 6, "kmon-pending"), this.bars(firing, y + (LANE - 12) / 2, 12, "kmon-firing"));
  }

  drawMarks(into, marks, y) {
    const signs = {
      excluded: (c) => `M${c - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`,
      false: (c) => `M${c - 4} ${y - 4}l8 8m-8 0l8 -8`,
      true: (c) => `M${c} ${y - 6}l5 11h-10z`,
    };
    for (const [kind, sign] of Object.entries(signs)) {
      const d = instants(marks[kind], this.start).map((at) => sign(Number(this.x(at).toFixed(1)))).join("");
      into.append(shape("path", { d: d || "M0 0", class: `kmon-mark-${kind}` }));
    }
  }

  drawIncidentMarks(into) {
    const [start, end] = this.picture.period;
    for (const [begun, over, found] of this.view.found) {
      if (over < start || begun > end) continue;
      const c = (this.x(begun) + this.x(over)) / 2;
      into.append(shape("path", { d: `M${c - 5} ${MARGIN.top - 9}h10l-5 8z`, class: found ? "kmon-found" : "kmon-missed" }));
    }
  }

  drawTime(into, start, end, y, width) {
    into.append(shape("line", { x1: 0, x2: width, y1: y, y2: y, class: "kmon-edge" }));
    for (const tick of this.clock.ticks(start, end, Math.max(2, Math.floor(width / 70)))) {
      const at = this.x(tick.at);
      into.append(shape("line", { x1: at, x2: at, y1: y, y2: y + 5, class: "kmon-edge" }),
        this.words(tick.text, Math.min(at, width), y + 17, at > width - 16 ? "end" : "middle", tick.strong ? "kmon-tick kmon-strong" : "kmon-tick"));
    }
    into.append(this.words(`time in ${this.clock.zone}`, width, y + 32, "end", "kmon-tick"));
  }

  drawLegend(picture) {
    const items = [];
    const item = (kind, text) => items.push(make("span", { class: "kmon-key" }, make("span", { class: `kmon-swatch ${kind}`, "aria-hidden": "true" }), text));
    picture.lines.forEach((line) => item(`kmon-swatch-${line.colour % LINE_COUNT}`, line.name));
    if (picture.rest) item("kmon-swatch-rest", `${picture.rest} more: highest and lowest`);
    if (this.facts.thresholds.length) {
      item("kmon-swatch-chosen", "chosen threshold");
      item("kmon-swatch-deployed", "deployed threshold");
    }
    item("kmon-swatch-firing", "firing");
    item("kmon-swatch-pending", "pending");
    item("kmon-swatch-band", "incident (▼ found, ▽ not found)");
    item("kmon-swatch-true", "page for an incident");
    item("kmon-swatch-false", "false page");
    this.legend.replaceChildren(...items);
  }

  // A click goes to the nearest page, else to the incident under it; dragging chooses a range.
  pointer(svg, width, bottom, start, end) {
    const time = (event) => {
      const left = svg.getBoundingClientRect().left + MARGIN.left;
      return start + (Math.max(0, Math.min(width, event.clientX - left)) / width) * (end - start);
    };
    let from = null, box = null;
    svg.addEventListener("pointerdown", (event) => { if (event.button === 0) from = { at: time(event), x: event.clientX }; });
    svg.addEventListener("pointermove", (event) => {
      if (from === null || Math.abs(event.clientX - from.x) < 5) return;
      if (box === null) {
        box = shape("rect", { y: MARGIN.top, height: bottom - MARGIN.top, class: "kmon-selection" });
        svg.append(box);
        try { svg.setPointerCapture(event.pointerId); } catch { /* the pointer is gone */ }
      }
      const edges = [this.x(from.at), this.x(time(event))].sort((a, b) => a - b);
      box.setAttribute("x", edges[0] + MARGIN.left);
      box.setAttribute("width", edges[1] - edges[0]);
    });
    svg.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const begun = from, to = time(event), dragged = box !== null;
      from = null;
      box?.remove();
      box = null;
      if (dragged) return this.zoom(Math.min(begun.at, to), Math.max(begun.at, to));
      this.clicked(to, ((end - start) / width) * 7);
    });
    svg.addEventListener("pointercancel", () => { from = null; box?.remove(); box = null; });
  }

  clicked(at, reach) {
    const { view, picture } = this;
    const starts = Object.values(view.marks).flatMap((marks) => instants(marks, picture.period[0]));
    const nearest = starts.reduce((best, one) => (Math.abs(one - at) < Math.abs(best - at) ? one : best), Infinity);
    if (Math.abs(nearest - at) <= reach) {
      const page = this.listsFit() ? this.read("lists").pages.find((each) => each.start === nearest) : undefined;
      return this.zoomTo(page ?? { start: nearest, end: nearest });
    }
    const band = picture.bands.find((each) => at >= each.start - reach && at <= each.end + reach);
    if (band) this.zoomTo(band);
  }
}

function render({ model, el }) {
  const tuner = new Tuner(model, el);
  return () => tuner.destroy();
}

export default { render };
