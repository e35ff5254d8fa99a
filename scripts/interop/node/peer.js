// The Node.js side of the interoperability matrix; scripts/interop/peer says what the command line and the lines mean.
// NODE_PATH holds npm's thrift and the code generated from interop.thrift.
"use strict";

process.noDeprecation = true; // the library's own use of Buffer()
const readline = require("readline");

async function call() {
  const { run } = require("./client");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [id, framing, addr, service = ""] = line.trim().split(/\s+/);
    console.log(await run(id, framing, addr, service));
  }
}

async function main([command, ...args]) {
  if (command === "server") return require("./server").serve(args);
  if (command === "client") return call();
  throw new Error("usage: peer.js server|client …");
}

main(process.argv.slice(2)).catch((e) => {
  console.error("peer:", e.message);
  process.exit(1);
});
