package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/client"
)

// HelloClient stands for what the Thrift compiler generates.
type HelloClient struct{ thrift.TClient }

// NewHelloClient is the generated constructor.
func NewHelloClient(c thrift.TClient) HelloClient { return HelloClient{c} }

// SayHello is the generated method, with empty structs.
func (h HelloClient) SayHello(ctx context.Context) error {
	_, err := h.Call(ctx, "sayHello", thrift.NewTApplicationException(0, ""), thrift.NewTApplicationException(0, ""))
	return err
}

func Example() {
	c, err := client.New(client.Options{AddressFile: "/nonexistent/address"}) // one per process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	tc := client.NewTClient(c, "com.example.Hello", client.CallOptions{Idempotent: []string{"sayHello"}})
	hello := NewHelloClient(tc)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = hello.SayHello(ctx)
	fmt.Println(client.ClassOf(err))
	// Output: unsent
}
