// Package call is `bellhop call`: one call from the command line, answered in JSON. It must never send a call twice, and
// never guess a type: what the arguments don't say and no IDL tells is an error that names the place.
//
//	'{"1":{"str":"bob"}}' ─ typed ─┐                                                       ┌─ typed ─► {"0":{"str":"hi bob"}}
//	                               ├─► body ─► codec.AppendCall ─► link ─► codec.Decode ─► body
//	'{"name":"bob"}' ─ by an IDL ──┘    (TBinary)             (address file or --addr)     └─ by an IDL ─► "hi bob"
//
// # Typed JSON
//
// Without an IDL, JSON says the types as Apache's TJSONProtocol writes a struct: an object of field ids, each an object
// of one type and a value.
//
//	{"1": {"str": "bob"}, "2": {"i32": 7}, "3": {"rec": {"1": {"tf": 1}}}}
//	{"4": {"lst": ["i32", 3, 10, 20, 30]}, "5": {"map": ["str", "i64", 1, {"a": 1}]}}
//
//	tf    bool: 1 or 0 (true and false are taken too)    i8 i16 i32 i64   integers
//	dbl   double: a number, "NaN", "Infinity", "-Infinity"
//	str   string      bin   binary in base64             uid   UUID
//	rec   struct      lst   list     set   set     map   [key type, value type, size, {key: value, …}]
//
// TJSONProtocol writes binary as a "str" of its base64, which nobody can tell from a string that looks so. Here "str" is
// always text; bytes are "bin", in a list or map too. A reply has "bin" where bytes are no UTF-8. Map keys are strings in
// JSON whatever their type; where they are structs or containers, the map's last part is a list of pairs:
// ["map","rec","i32",1,[[{…},7]]].
package call
