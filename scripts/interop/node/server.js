// Serves any number of framings until stdin ends.
"use strict";

const thrift = require("thrift");
const Interop = require("Interop");
const { Color, InvalidOperation } = require("interop_types");
const { sample, differs, int64, bigint } = require("./sample");
const { stack } = require("./framing");

const counts = new Map();

// Every handler answers by its callback, at once: with THeader the library writes a reply into the transport that it is
// reading from, and a reply that comes later than that loses its header.
const handler = {
  ping: (done) => done(null),
  echoString: (s, done) => done(null, s),
  echoEverything: (e, done) => done(null, e),
  verify: (e, done) => done(null, differs(e, sample())),
  sample: (done) => done(null, sample()),
  add: (a, b, done) => done(null, int64(bigint(a) + bigint(b))),
  negate: (b, done) => done(null, !b),
  half: (d, done) => done(null, d / 2),
  nextColor: (c, done) => done(null, { [Color.RED]: Color.GREEN, [Color.GREEN]: Color.BLUE }[c] || Color.RED),
  blob: (b, done) => done(null, b),
  divide: (a, b, done) => {
    if (b !== 0) return done(null, Math.trunc(a / b));
    return done(new InvalidOperation({ code: 22, why: `divide ${a} by zero`, details: { a: String(a) } }));
  },
  notify: (key) => counts.set(key, (counts.get(key) || 0) + 1),
  notified: (key, done) => done(null, int64(counts.get(key) || 0)),
  fail: (done) => done(new Error("failed on purpose")),
};

// The library's MultiplexedProcessor has no default service: this one answers bare names and PREFIX.FRAMING:method.
class Processor {
  constructor(service) {
    this.plain = new Interop.Processor(handler);
    this.prefix = service + ":";
  }

  process(input, output) {
    const begin = input.readMessageBegin();
    if (begin.fname.startsWith(this.prefix)) begin.fname = begin.fname.slice(this.prefix.length);
    const rest = Object.create(input, { readMessageBegin: { value: () => begin } });
    this.plain.process(rest, output);
  }
}

function listen(framing, addr, prefix) {
  const server = thrift.createMultiplexServer(new Processor(`${prefix}.${framing}`), stack(framing));
  server.on("error", () => {}); // callers that leave
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const ready = () => {
      server.off("error", reject);
      const at = server.address();
      console.log("listening", framing, typeof at === "string" ? "unix:" + at : `${at.address}:${at.port}`);
      resolve();
    };
    if (addr.startsWith("unix:")) return server.listen(addr.slice("unix:".length), ready);
    const colon = addr.lastIndexOf(":");
    return server.listen(Number(addr.slice(colon + 1)), addr.slice(0, colon), ready);
  });
}

async function serve(args) {
  let prefix = "";
  for (let i = 0; i + 1 < args.length; i += 2) {
    if (args[i] === "--service") {
      prefix = args[i + 1];
    } else if (args[i] === "--serve") {
      const eq = args[i + 1].indexOf("=");
      await listen(args[i + 1].slice(0, eq), args[i + 1].slice(eq + 1), prefix);
    } else {
      throw new Error(`unknown flag ${args[i]}`);
    }
  }
  console.log("ready");
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}

module.exports = { serve };
