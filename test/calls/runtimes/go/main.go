// What the conformance suite asks of a runtime in Go.
package main

import (
	"bytes"
	"context"
	"errors"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	calls "tsfiltercalls"
)

func number(payload calls.Payload) int {
	n, _ := strconv.Atoi(string(payload.Bytes))
	return n
}

func conformance(init calls.Payload) (calls.Part, error) {
	var cancelled int32
	return calls.Part{
		"init": func(context.Context, calls.Payload) (calls.Payload, error) { return init, nil },
		"echo": func(_ context.Context, payload calls.Payload) (calls.Payload, error) { return payload, nil },
		"fail": func(context.Context, calls.Payload) (calls.Payload, error) {
			return calls.Payload{}, &calls.RemoteError{Code: "NOPE", Message: "no: ä€😀"}
		},
		"crash": func(context.Context, calls.Payload) (calls.Payload, error) {
			return calls.Payload{}, errors.New("as it comes")
		},
		"size": func(_ context.Context, payload calls.Payload) (calls.Payload, error) {
			return calls.Payload{Format: calls.Bytes, Bytes: bytes.Repeat([]byte("x"), number(payload))}, nil
		},
		"sleep": func(ctx context.Context, payload calls.Payload) (calls.Payload, error) {
			select {
			case <-ctx.Done():
				atomic.AddInt32(&cancelled, 1)
			case <-time.After(time.Duration(number(payload)) * time.Millisecond):
			}
			return payload, nil
		},
		"cancelled": func(context.Context, calls.Payload) (calls.Payload, error) {
			return calls.Payload{Format: calls.JSON, Bytes: []byte(strconv.Itoa(int(atomic.LoadInt32(&cancelled))))}, nil
		},
		"hang": func(_ context.Context, payload calls.Payload) (calls.Payload, error) {
			time.Sleep(time.Duration(number(payload)) * time.Millisecond)
			return calls.Payload{}, nil
		},
		"exit": func(context.Context, calls.Payload) (calls.Payload, error) {
			os.Exit(3)
			return calls.Payload{}, nil
		},
	}, nil
}

func bad(calls.Payload) (calls.Part, error) { return nil, errors.New("bad init") }

func main() {
	parts := map[string]func(calls.Payload) (calls.Part, error){"conformance": conformance, "bad": bad}
	if err := calls.Serve(parts); err != nil {
		log.Fatal(err)
	}
}
