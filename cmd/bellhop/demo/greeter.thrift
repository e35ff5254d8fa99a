// The demo's services. The code of both sides is written by hand in sample.go and caller.py: it is one method.
namespace * demo

service Greeter {
  string hello(1: string name)
}
