// Package govern is what rules say of calls, in the form in which the data plane asks: which rule matches a call, what it
// wants done, and the state that limits need. It must never read a document (package proxy/rules does), look at a clock or
// block: the worker passes its own time in.
//
//	proxy/rules ─► Rules (immutable) ─► Resolve(service, method, source) ─► Policy, with what only the call itself can tell
package govern
