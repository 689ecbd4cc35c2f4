// The demo's runtime: gives back what it is given.
package main

import (
	"context"
	"log"

	calls "tsfiltercalls"
)

func main() {
	log.SetFlags(0)
	echo := func(init calls.Payload) (calls.Part, error) {
		log.Printf("echo: loaded with %s", init.Bytes)
		return calls.Part{
			"echo": func(_ context.Context, text calls.Payload) (calls.Payload, error) { return text, nil },
		}, nil
	}
	if err := calls.Serve(map[string]func(calls.Payload) (calls.Part, error){"echo": echo}); err != nil {
		log.Fatal(err)
	}
}
