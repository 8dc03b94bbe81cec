// Loaded into Azurite with `node --require`: gives it what the devstore has anyway, a wait before every request and counters.
//
// A proxy would do as well, but would take processor time from the programs that are measured. BENCH_LATENCY_MS is the wait;
// GET /-/stats and POST /-/stats/reset answer as the devstore's do. Operations go by the devstore's names.
"use strict";
const http = require("http");

const latency = Number(process.env.BENCH_LATENCY_MS || 0);
let stats;
const reset = () => (stats = { requests: {}, total: 0, body_bytes_in: 0, body_bytes_out: 0 });
reset();

// Azurite's answer to GET Blob is counted by its length: a client that goes away early is charged for all of it.
function operation(request, query) {
  const comp = query.get("comp");
  const header = (name) => request.headers[name] !== undefined;
  const container = query.get("restype") === "container";
  switch (request.method) {
    case "HEAD":
      return container ? "GetContainerProperties" : "GetBlobProperties";
    case "DELETE":
      return container ? "DeleteContainer" : "DeleteBlob";
    case "GET":
      if (comp === "list") return container ? "ListBlobs" : "ListContainers";
      if (comp) return `Get ${comp}`;
      return container ? "GetContainerProperties" : "GetBlob";
    case "PUT":
      if (container) return comp ? `Put container ${comp}` : "CreateContainer";
      if (comp === "block") return header("x-ms-copy-source") ? "PutBlockFromURL" : "PutBlock";
      if (comp === "blocklist") return "PutBlockList";
      if (comp) return `Put ${comp}`;
      if (header("x-ms-copy-source")) return header("x-ms-requires-sync") ? "CopyBlobFromURL" : "CopyBlob";
      return "PutBlob";
    default:
      return request.method;
  }
}

function count(request, response) {
  const query = new URLSearchParams(request.url.split("?")[1] || "");
  const name = operation(request, query);
  stats.requests[name] = (stats.requests[name] || 0) + 1;
  stats.total += 1;
  if (name === "PutBlob" || name === "PutBlock") stats.body_bytes_in += Number(request.headers["content-length"] || 0);
  if (name === "GetBlob") {
    response.on("finish", () => {
      if (response.statusCode < 300) stats.body_bytes_out += Number(response.getHeader("content-length") || 0);
    });
  }
}

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  if (event !== "request") return emit.apply(this, arguments);
  if (request.url.startsWith("/-/stats")) {
    if (request.method === "POST") reset();
    const body = JSON.stringify(stats);
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    response.end(body);
    return true;
  }
  // Azurite asks itself for the properties of a copy's source; that is no request of its client's.
  if (/^axios/.test(request.headers["user-agent"])) return emit.apply(this, arguments);
  count(request, response);
  if (latency > 0) setTimeout(() => emit.call(this, event, request, response), latency);
  else emit.call(this, event, request, response);
  return true;
};
