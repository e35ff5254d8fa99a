package call

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
	"github.com/bellhop-mesh/bellhop/protocol"
)

const limit = 1 << 20

// TestTypedRoundTrip: what is not TJSONProtocol's own, and comes back as it was said.
func TestTypedRoundTrip(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"1":{"bin":"/wA="}}`,
		`{"1":{"lst":["bin",2,"/w==","YQ=="]}}`,
		`{"1":{"map":["bin","bin",1,{"/w==":"gA=="}]}}`,
		`{"1":{"map":["str","bin",1,{"a":"gA=="}]}}`,
		`{"-1":{"map":["rec","i32",2,[[{"1":{"str":"a"}},7],[{},8]]]}}`,
		`{"1":{"map":["lst","set",1,[[["i8",1,5],["tf",2,1,0]]]]}}`,
		`{"32767":{"rec":{"-32768":{"dbl":"NaN"}}}}`,
		`{"1":{"uid":"00112233-4455-6677-8899-aabbccddeeff"}}`,
		`{"1":{"str":"\u001b[2J\u009b"}}`,
	} {
		body, err := encodeTyped([]byte(text), limit)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := decodeTyped(body); err != nil || string(got) != text {
			t.Errorf("%s came back as %s, %v", text, got, err)
		}
	}
}

// TestTypedForms: other ways to say the same.
func TestTypedForms(t *testing.T) {
	for text, want := range map[string]string{
		`{"1":{"tf":true},"2":{"tf":false}}`:                   `{"1":{"tf":1},"2":{"tf":0}}`,
		`{"1":{"map":["str","i32",1,[["a",1]]]}}`:              `{"1":{"map":["str","i32",1,{"a":1}]}}`,
		`{"1":{"map":["tf","i32",1,{"true":1}]}}`:              `{"1":{"map":["tf","i32",1,{"1":1}]}}`,
		`{"1":{"bin":"YQ"}}`:                                   `{"1":{"str":"a"}}`,
		`{"1":{"uid":"AABBCCDD-4455-6677-8899-aabbccddeeff"}}`: `{"1":{"uid":"aabbccdd-4455-6677-8899-aabbccddeeff"}}`,
	} {
		body, err := encodeTyped([]byte(text), limit)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := decodeTyped(body); err != nil || string(got) != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
}

func deepTyped(levels int) string {
	return `{"1":` + strings.Repeat(`{"lst":["lst",1,`, 1) + strings.Repeat(`["lst",1,`, levels-3) + `["i32",0]` +
		strings.Repeat(`]`, levels-2) + `}}`
}

func TestDepth(t *testing.T) {
	if _, err := encodeTyped([]byte(deepTyped(protocol.MaxDepth)), limit); err != nil {
		t.Errorf("%d levels: %v", protocol.MaxDepth, err)
	}
	_, err := encodeTyped([]byte(deepTyped(protocol.MaxDepth+1)), limit)
	if err == nil || !strings.Contains(err.Error(), "nested deeper than 64 levels") {
		t.Errorf("%d levels: %v", protocol.MaxDepth+1, err)
	}
	body := append(bytes.Repeat([]byte{12, 0, 1}, 64), make([]byte, 65)...)
	if _, err := decodeTyped(body); err == nil {
		t.Error("a reply of 65 levels was taken")
	}
}

func TestTypedErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                                  "arguments:1:1: the JSON ends too early",
		`{"1":{"str":"x"}`:                  "arguments:1:17: the JSON ends too early",
		"{\n \"1\": {\"str\": x}}":          "arguments:2:15: invalid character 'x'",
		`[]`:                                `arguments: want an object of fields like {"1": {"str": "bob"}}, got a list`,
		`{"name":{"str":"x"}}`:              `arguments: want a field id (a number), got string "name": names need --idl FILE.thrift`,
		`{"1":"x"}`:                         `argument 1: want a type and a value like {"str": "bob"}, got string "x"`,
		`{"1":{}}`:                          `argument 1: want a type and a value`,
		`{"1":{"string":"x"}}`:              `argument 1: unknown type string "string": use one of tf, i8`,
		`{"1":{"str":"x","i32":1}}`:         `argument 1: a field has one type and one value; string "i32" is too much`,
		`{"1":{"str":"a"},"1":{"str":"b"}}`: `argument 1: the field is there twice`,
		`{"99999":{"str":"a"}}`:             `arguments: want a field id (a number), got string "99999"`,
		`{"1":{"i32":"x"}}`:                 `argument 1: want i32, got string "x"`,
		`{"1":{"i8":128}}`:                  `argument 1: want i8 (-128 … 127), got number 128`,
		`{"1":{"i64":1.0}}`:                 `argument 1: want i64 (-9223372036854775808 … 9223372036854775807), got number 1.0`,
		`{"1":{"dbl":1e999}}`:               `argument 1: want a number that fits a double, got number 1e999`,
		`{"1":{"dbl":"x"}}`:                 `argument 1: want double, "NaN", "Infinity" or "-Infinity", got string "x"`,
		`{"1":{"tf":2}}`:                    `argument 1: want bool, got number 2`,
		`{"1":{"str":null}}`:                `argument 1: want string, got null`,
		`{"1":{"bin":"%"}}`:                 `argument 1: want binary in base64, got string "%"`,
		`{"1":{"uid":"00112233445566778899aabbccddeeff"}}`:        `argument 1: want uuid (12345678-`,
		`{"1":{"lst":["i32",3,1,2]}}`:                             `argument 1: its size says 3, there are 2 elements`,
		`{"1":{"lst":["i32",-1]}}`:                                `argument 1: want its size, got number -1`,
		`{"1":{"lst":["i32"]}}`:                                   `argument 1: its size is missing`,
		`{"1":{"lst":[]}}`:                                        `argument 1: the type of its elements is missing`,
		`{"1":{"lst":[7,1,1]}}`:                                   `argument 1: want the type of its elements (tf, `,
		`{"1":{"lst":["i32",2,1,"x"]}}`:                           `argument 1[1]: want i32, got string "x"`,
		`{"1":{"map":["i32","str",1,{"x":"y"}]}}`:                 `argument 1."x": key: want i32, got string "x"`,
		`{"1":{"map":["i32","str",1]}}`:                           `argument 1: its entries are missing`,
		`{"1":{"map":["i32","str",1,[[1]]]}}`:                     `argument 1[0]: want a pair [key, value]`,
		`{"1":{"map":["rec","str",1,{"x":"y"}]}}`:                 `argument 1: its keys can't be said as strings: write its entries as a list of pairs`,
		`{"1":{"map":["str","str",2,{"x":"y","x":"z"}]}}`:         `argument 1."x": the key is there twice`,
		`{"1":{"rec":{"2":{"lst":["rec",1,{"3":{"i16":"a"}}]}}}}`: `argument 1.2[0].3: want i16, got string "a"`,
		`{} {}`:                      "arguments:1:4: one object is all; this is too much",
		"{\"1\":{\"str\":\"\xff\"}}": "arguments:1:14: not UTF-8",
	} {
		if _, err := encodeTyped([]byte(text), limit); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\nerror %v\nwant  %s", text, err, want)
		}
	}
	if _, err := encodeTyped([]byte(`{"1":{"str":"`+strings.Repeat("x", 200)+`"}}`), 100); err == nil || !strings.Contains(err.Error(), "larger than 100 bytes") {
		t.Errorf("a large string: %v", err)
	}
}

const testIDL = `
enum Color { RED = 1, GREEN = 2 }
struct Address { 1: required string street, 2: i32 zip }
union Contact { 1: string mail, 2: i64 phone }
struct User {
  1: required string name,
  2: list<Address> address,
  3: Color color = Color.GREEN,
  4: optional i32 age = 18,
  5: map<Color, binary> badges,
  6: map<Address, bool> homes,
  7: Contact contact,
  8: set<double> scores,
  9: map<i64, string> notes = {1: "one"},
  10: bool on, 11: uuid id, 12: User boss, 13: i8 tiny,
  14: map<bool, i16> flags, 15: map<string, bool> marks,
}
exception Gone { 1: string why, 2: Color color }
service Users {
  User put(1: User user) throws (1: Gone gone),
  void none(),
  oneway void forget(1: string name = "bob"),
}`

func method(t testing.TB, name string) *idl.Method {
	t.Helper()
	path := t.TempDir() + "/users.thrift"
	write(t, path, testIDL)
	p, err := idl.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.Services()[0].Method(name)
}

func TestNamed(t *testing.T) {
	m := method(t, "put")
	for text, want := range map[string]string{
		`{"user":{"name":"bob"}}`: `{"1":{"rec":{"1":{"str":"bob"},"3":{"i32":2},"9":{"map":["i64","str",1,{"1":"one"}]}}}}`,
		`{"user":{"name":"bob","color":"RED","notes":{},"age":7,"boss":null}}`:                                            `{"1":{"rec":{"1":{"str":"bob"},"3":{"i32":1},"9":{"map":["i64","str",0,{}]},"4":{"i32":7}}}}`,
		`{"user":{"name":"b","color":"Color.RED","notes":{"-5":"x"},"address":[{"street":"s","zip":1}]}}`:                 `{"1":{"rec":{"1":{"str":"b"},"3":{"i32":1},"9":{"map":["i64","str",1,{"-5":"x"}]},"2":{"lst":["rec",1,{"1":{"str":"s"},"2":{"i32":1}}]}}}}`,
		`{"user":{"name":"b","color":99,"notes":{},"badges":{"RED":"/w==","7":"/w=="},"scores":[1,"NaN"]}}`:               `{"1":{"rec":{"1":{"str":"b"},"3":{"i32":99},"9":{"map":["i64","str",0,{}]},"5":{"map":["i32","bin",2,{"1":"/w==","7":"/w=="}]},"8":{"set":["dbl",2,1,"NaN"]}}}}`,
		`{"user":{"name":"b","color":1,"notes":{},"homes":[[{"street":"s"},true]],"contact":{"phone":5}}}`:                `{"1":{"rec":{"1":{"str":"b"},"3":{"i32":1},"9":{"map":["i64","str",0,{}]},"6":{"map":["rec","tf",1,[[{"1":{"str":"s"}},1]]]},"7":{"rec":{"2":{"i64":5}}}}}}`,
		`{"user":{"name":"b","color":1,"notes":{},"flags":{"true":1,"0":2},"id":"00112233-4455-6677-8899-aabbccddeeff"}}`: `{"1":{"rec":{"1":{"str":"b"},"3":{"i32":1},"9":{"map":["i64","str",0,{}]},"14":{"map":["tf","i16",2,{"1":1,"0":2}]},"11":{"uid":"00112233-4455-6677-8899-aabbccddeeff"}}}}`,
		`{ "user" : null }`: `{}`,
	} {
		body, err := encodeNamed([]byte(text), m.Args, limit)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := decodeTyped(body); err != nil || string(got) != want {
			t.Errorf("%s\nis   %s, %v\nwant %s", text, got, err, want)
		}
	}
	body, err := encodeNamed([]byte(`{}`), method(t, "forget").Args, limit)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := decodeTyped(body); string(got) != `{"1":{"str":"bob"}}` {
		t.Errorf("an argument's default: %s", got)
	}
}

func TestNamedErrors(t *testing.T) {
	m := method(t, "put")
	for text, want := range map[string]string{
		`{"usr":{}}`:             "argument usr: there is no such field in put_args; it has user",
		`{"user":{}}`:            "argument user.name: the field is required: give a value of type string",
		`{"user":{"name":null}}`: "argument user.name: the field is required",
		`{"user":7}`:             "argument user: want an object with the fields of User, got number 7",
		`{"user":{"name":"a","address":[{"street":"s"},{"street":"s"},{"street":"s","zip":"x"}]}}`: `argument user.address[2].zip: want i32, got string "x"`,
		`{"user":{"name":"a","color":"BLUE"}}`:                                                     `argument user.color: Color has no string "BLUE"; it has RED, GREEN`,
		`{"user":{"name":"a","color":true}}`:                                                       "argument user.color: want a name or number of Color, got true",
		`{"user":{"name":"a","contact":{}}}`:                                                       "argument user.contact: the union Contact has one field at a time, here are 0; it has mail, phone",
		`{"user":{"name":"a","contact":{"mail":"a","phone":1}}}`:                                   "argument user.contact: the union Contact has one field at a time, here are 2",
		`{"user":{"name":"a","badges":{"PINK":""}}}`:                                               `argument user.badges."PINK": Color has no string "PINK"`,
		`{"user":{"name":"a","homes":{"x":true}}}`:                                                 "argument user.homes: its keys can't be said as strings",
		`{"user":{"name":"a","name":"b"}}`:                                                         "argument user.name: the field is there twice",
		`{"user":{"name":"a","address":{}}}`:                                                       "argument user.address: want a list of Address, got an object",
		`{"user":{"name":"a","notes":7}}`:                                                          "argument user.notes: want an object or a list of pairs, got number 7",
		`{"user":{"name":"a","boss":` + strings.Repeat(`{"name":"a","boss":`, 70) + `null` + strings.Repeat(`}`, 70) + `}}`: "argument …",
	} {
		if _, err := encodeNamed([]byte(text), m.Args, limit); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\nerror %v\nwant  %s", text, err, want)
		}
	}
}

func typed(t testing.TB, text string) []byte {
	t.Helper()
	b, err := encodeTyped([]byte(text), limit)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

func TestDecodeResult(t *testing.T) {
	for text, want := range map[string]string{
		`{"0":{"rec":{"1":{"str":"b"},"3":{"i32":1},"5":{"map":["i32","str",2,{"1":"a","9":"b"}]},"10":{"tf":1}}}}`: `{"name":"b","color":"RED","badges":{"RED":"YQ==","9":"Yg=="},"on":true}`,
		`{"0":{"rec":{"14":{"map":["tf","i16",1,{"1":2}]},"6":{"map":["rec","tf",1,[[{"2":{"i32":1}},0]]]}}}}`:      `{"flags":{"true":2},"homes":[[{"zip":1},false]]}`,
		`{"0":{"rec":{"99":{"i32":1},"1":{"i64":2},"2":{"lst":["i32",1,5]},"3":{"i32":77}}}}`:                       `{"99":{"i32":1},"name":{"i64":2},"address":{"lst":["i32",1,5]},"color":77}`,
		`{"0":{"rec":{"1":{"bin":"/w=="},"9":{"map":["i64","bin",1,{"1":"/w=="}]}}}}`:                               `{"name":{"bin":"/w=="},"notes":{"1":{"bin":"/w=="}}}`,
		`{"0":{"rec":{"2":{"lst":["str",0]},"5":{"map":["str","str",0,{}]}}}}`:                                      `{"address":[],"badges":{}}`,
		`{"0":{"rec":{"15":{"map":["bin","tf",1,{"/w==":1}]}}}}`:                                                    `{"marks":{"map":["bin","tf",1,{"/w==":1}]}}`,
		`{"0":{"rec":{"15":{"map":["str","tf",1,{"a":1}]}}}}`:                                                       `{"marks":{"a":true}}`,
		`{"0":{"i32":7}}`: `{"i32":7}`,
		`{"1":{"rec":{"1":{"str":"w"},"2":{"i32":2}}}}`: `Gone {"why":"w","color":"GREEN"}`,
		`{"5":{"rec":{"1":{"str":"w"}}}}`:               `field 5 {"rec":{"1":{"str":"w"}}}`,
		`{}`:                                            `nothing`,
	} {
		o, ok, err := decodeResult(typed(t, text), method(t, "put").Result)
		got := string(o.result)
		if o.exception != "" {
			got = o.exception + " " + got
		}
		if !ok {
			got = "nothing"
		}
		if err != nil || got != want {
			t.Errorf("%s\nis   %s, %v\nwant %s", text, got, err, want)
		}
	}
	if o, ok, err := decodeResult(typed(t, `{}`), method(t, "none").Result); !ok || err != nil || string(o.result) != "null" {
		t.Errorf("void: %s %v %v", o.result, ok, err)
	}
}

func TestPretty(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", 60) + `","b":{"c":[1,2,{"d":"} ] \" {"}],"e":{}},"f":["` + strings.Repeat("y", 60) + `",true]}`
	want := "{\n  \"a\": \"" + strings.Repeat("x", 60) + "\",\n  \"b\": {\"c\": [1, 2, {\"d\": \"} ] \\\" {\"}], \"e\": {}},\n" +
		"  \"f\": [\"" + strings.Repeat("y", 60) + "\", true]\n}\n"
	var b bytes.Buffer
	if err := pretty(&b, []byte(long), false); err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &b, want)
	}
	b.Reset()
	if err := pretty(&b, []byte(`{"a":["b",1]}`), true); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "{\x1b[34m\"a\"\x1b[0m: [\x1b[32m\"b\"\x1b[0m, \x1b[33m1\x1b[0m]}\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func samePretty(t *testing.T, compact []byte) {
	t.Helper()
	var b, back bytes.Buffer
	if err := pretty(&b, compact, false); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&back, b.Bytes()); err != nil || !bytes.Equal(back.Bytes(), compact) {
		t.Fatalf("%v: %s\nwas %s", err, back.Bytes(), compact)
	}
}

// FuzzTyped: JSON that is taken is a well-formed body, and comes back to the same bytes.
func FuzzTyped(f *testing.F) {
	for seed := range uint64(20) {
		text, err := decodeTyped(randomBody(f, seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"1":{"map":["rec","bin",2,[[{"1":{"str":"a"}},"/w=="],[{},"YQ=="]]]}}`))
	f.Add([]byte(deepTyped(64)))
	f.Fuzz(func(t *testing.T, text []byte) {
		body, err := encodeTyped(text, limit)
		if err != nil {
			return
		}
		if len(body) > limit {
			t.Fatalf("%d bytes", len(body))
		}
		out, err := decodeTyped(body)
		if err != nil {
			t.Fatalf("%s made a body that is not well-formed: %v", text, err)
		}
		samePretty(t, out)
		again, err := encodeTyped(out, limit)
		if err != nil && !strings.Contains(err.Error(), "twice") { // 1 and 01 are the same key
			t.Fatalf("%s came back as %s: %v", text, out, err)
		}
		if err == nil && !bytes.Equal(again, body) {
			t.Fatalf("%s\n%x\n%x", text, body, again)
		}
	})
}

// FuzzNamed: the same by names.
func FuzzNamed(f *testing.F) {
	f.Add([]byte(`{"user":{"name":"b","color":"RED","badges":{"RED":"/w==","7":""},"scores":[1,"NaN"],"boss":{"name":"c"}}}`))
	f.Add([]byte(`{"user":{"name":"b","homes":[[{"street":"s"},true]],"contact":{"phone":5},"notes":{"1":"x"},"flags":{"true":1},"id":null}}`))
	args := method(f, "put").Args
	f.Fuzz(func(t *testing.T, text []byte) {
		body, err := encodeNamed(text, args, limit)
		if err != nil {
			return
		}
		d, err := newDecoder(body)
		if err != nil {
			t.Fatalf("%s made a body that is not well-formed: %v", text, err)
		}
		d.namedStruct(args)
		samePretty(t, d.out)
		again, err := encodeNamed(d.out, args, limit)
		if err != nil && !strings.Contains(err.Error(), "twice") {
			t.Fatalf("%s came back as %s: %v", text, d.out, err)
		}
		if err == nil && !bytes.Equal(again, body) {
			t.Fatalf("%s\n%s\n%x\n%x", text, d.out, body, again)
		}
	})
}

// FuzzDecode: any well-formed body is printed as JSON, typed and by names.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomBody(f, seed))
	}
	f.Add(typed(f, `{"0":{"rec":{"1":{"bin":"/w=="},"9":{"map":["i64","bin",1,{"1":"/w=="}]}}}}`))
	f.Add(binary.BigEndian.AppendUint32([]byte{15, 0, 1, 0}, 0))
	result := method(f, "put").Result
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := decodeTyped(body)
		if err != nil {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%x is no JSON: %s", body, out)
		}
		samePretty(t, out)
		o, ok, err := decodeResult(body, result)
		if err != nil || ok && !json.Valid(o.result) {
			t.Fatalf("%x by names: %v %s", body, err, o.result)
		}
	})
}
