// Package admin is the HTTP side of a proxy: metrics, health, and what an operator asks for. It has no authentication,
// so its listener is a unix socket of the proxy's own user or a loopback address. It must never wait on the data plane
// without a bound, and never show a secret.
//
//	GET /metrics /healthz /readyz /status?window=1s /config /rules /registry /explain /clusters /breakers /sources /debug/pprof/
//	POST /breakers /drain
package admin
