// Runs every check over one connection a target.
"use strict";

const thrift = require("thrift");
const Later = require("Later");
const { Color, InvalidOperation } = require("interop_types");
const { sample, shape, everyByte, differs, canonical, int64, bigint } = require("./sample");
const { stack } = require("./framing");

const PATIENCE = 5000; // milliseconds a caller waits for anything

const { TApplicationException, TApplicationExceptionType } = thrift.Thrift;

function expect(got, want) {
  const [a, b] = [got, want].map((v) => (typeof v === "bigint" ? String(v) : JSON.stringify(canonical(v))));
  if (a !== b) throw new Error(`got ${a}, want ${b}`);
}

function echo(s) {
  return async (c) => {
    const got = await c.echoString(s);
    if (got !== s) throw new Error(`${got.length} characters came back of ${s.length}, or other ones`);
  };
}

async function echoEverything(c) {
  const sent = sample();
  Object.assign(sent, { yes: false, no: true, real: 1e-300, text: "", absent: shape() });
  sent.lines = sent.lines.slice(0, 14);
  expect(differs(await c.echoEverything(sent), sent), "");
}

async function add(c) {
  const big = 2n ** 53n + 1n;
  expect(bigint(await c.add(int64(big), int64(41))), big + 41n);
  expect(bigint(await c.add(int64(-big), int64(-7))), -big - 7n);
}

async function negate(c) {
  expect(await c.negate(true), false);
  expect(await c.negate(false), true);
}

async function nextColor(c) {
  expect(await c.nextColor(Color.GREEN), Color.BLUE);
  expect(await c.nextColor(Color.BLUE), Color.RED);
}

async function blob(c) {
  for (const b of [Buffer.alloc(0), Buffer.concat(Array(16).fill(everyByte))]) expect(await c.blob(b), b);
}

async function raised(call) {
  try {
    await call;
  } catch (e) {
    return e;
  }
  throw new Error("want an exception, got a reply");
}

async function divideByZero(c) {
  const bad = await raised(c.divide(7, 0));
  if (!(bad instanceof InvalidOperation)) throw new Error(`want InvalidOperation, got ${bad}`);
  expect([bad.code, bad.why, bad.details], [22, "divide 7 by zero", { a: "7" }]);
}

async function appException(call, ...types) {
  const e = await raised(call);
  if (!(e instanceof TApplicationException)) throw new Error(`want a TApplicationException, got ${e}`);
  if (!types.includes(e.type)) throw new Error(`TApplicationException type ${e.type} (${e.message})`);
}

function notify(key) {
  return async (c) => {
    c.notify(key); // the library's promise of a oneway never settles
    for (const begun = Date.now(); ; ) {
      const n = bigint(await c.notified(key));
      if (n === 1n) return;
      if (n > 1n || Date.now() - begun > PATIENCE) throw new Error(`the server counted ${n}`);
      await new Promise((r) => setTimeout(r, 5));
    }
  };
}

function checks(id) {
  const { UNKNOWN, INTERNAL_ERROR, UNKNOWN_METHOD } = TApplicationExceptionType;
  return [
    ["ping", (c) => c.ping()],
    ["echo-text", echo("hello")],
    ["echo-empty", echo("")],
    ["echo-unicode", echo("grüße, 世界 🌍")],
    ["echo-large", echo("0123456789".repeat(10000))],
    ["echo-everything", echoEverything],
    ["verify", async (c) => expect(await c.verify(sample()), "")],
    ["sample", async (c) => expect(differs(await c.sample(), sample()), "")],
    ["add", add],
    ["negate", negate],
    ["half", async (c) => expect(await c.half(-0.1), -0.05)],
    ["next-color", nextColor],
    ["blob", blob],
    ["divide", async (c) => expect(await c.divide(7, 2), 3)],
    ["divide-by-zero", divideByZero],
    ["fail", (c) => appException(c.fail(), UNKNOWN, INTERNAL_ERROR)],
    ["later", (c) => appException(c.later(1), UNKNOWN_METHOD, UNKNOWN)],
    ["notify", notify(`node-${id}-${process.hrtime.bigint()}`)],
    ["add-again", add],
  ];
}

function dial(framing, addr) {
  const options = { ...stack(framing), timeout: PATIENCE };
  if (framing.startsWith("theader")) throw new Error(`the Node.js library has no caller side of ${framing}`);
  if (addr.startsWith("unix:")) return thrift.createUDSConnection(addr.slice("unix:".length), options);
  const colon = addr.lastIndexOf(":");
  return thrift.createConnection(addr.slice(0, colon), Number(addr.slice(colon + 1)), options);
}

async function run(id, framing, addr, service) {
  let at = "connect";
  let connection;
  try {
    connection = dial(framing, addr);
    const broken = new Promise((_, reject) => {
      connection.on("error", reject);
      connection.on("close", () => reject(new Error("the connection was closed")));
      connection.on("timeout", () => reject(new Error(`no answer in ${PATIENCE} ms`)));
    });
    const client = service
      ? new thrift.Multiplexer().createClient(service, Later, connection)
      : thrift.createClient(Later, connection);
    const all = checks(id);
    for (const [name, attempt] of all) {
      at = name;
      await Promise.race([attempt(client), broken]);
    }
    broken.catch(() => {});
    return `${id} ok ${all.length}`;
  } catch (e) {
    return `${id} FAIL ${at}: ${String(e.stack ? e.message || e.name : e).replaceAll("\n", " ")}`;
  } finally {
    if (connection) {
      connection.end();
      connection.destroy();
    }
  }
}

module.exports = { run };
