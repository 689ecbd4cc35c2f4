// Client and server of gRPC's own interoperability tests (grpc-go), and one case that they have not: a bidirectional
// stream whose server speaks before any message has come.
//
//	grpc-interop server                                     prints its port, serves until it is killed
//	grpc-interop client -port 1234 -case ping_pong -runs 9  fails with the first run that fails
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// What the server says unasked, in this order. HTTP/2 frames are 16 KiB, a stream's first window is 64 KiB.
var firstWords = []int{1, 27_000, 70_000}

type server struct {
	testgrpc.TestServiceServer
}

// HalfDuplexCall is not used by the cases below, so its name serves for the stream whose server speaks first: all its
// words, then an answer to each message.
func (server) HalfDuplexCall(stream testgrpc.TestService_HalfDuplexCallServer) error {
	say := func(size int) error {
		return stream.Send(&testpb.StreamingOutputCallResponse{
			Payload: interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, size),
		})
	}
	for _, size := range firstWords {
		if err := say(size); err != nil {
			return err
		}
	}
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := say(len(request.GetPayload().GetBody())); err != nil {
			return err
		}
	}
}

func serverSpeaksFirst(ctx context.Context, client testgrpc.TestServiceClient, _ ...grpc.CallOption) {
	stream, err := client.HalfDuplexCall(ctx)
	if err != nil {
		log.Fatalf("opening the stream: %v", err)
	}
	hear := func(what string, size int) {
		reply, err := stream.Recv()
		if err != nil {
			log.Fatalf("%s of %d bytes: %v", what, size, err)
		}
		if got := len(reply.GetPayload().GetBody()); got != size {
			log.Fatalf("%s has %d bytes instead of %d", what, got, size)
		}
	}
	for _, size := range firstWords {
		hear("a first word", size)
	}
	for _, size := range firstWords {
		payload := interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, size)
		if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload}); err != nil {
			log.Fatalf("sending %d bytes: %v", size, err)
		}
		hear("an answer", size)
	}
	if err := stream.CloseSend(); err != nil {
		log.Fatalf("ending the stream: %v", err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		log.Fatalf("the end: %v", err)
	}
}

var cases = map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
	"ping_pong":           interop.DoPingPong,
	"empty_stream":        interop.DoEmptyStream,
	"client_streaming":    interop.DoClientStreaming,
	"server_streaming":    interop.DoServerStreaming,
	"large_unary":         interop.DoLargeUnaryCall,
	"server_speaks_first": serverSpeaksFirst,
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(grpcServer, server{interop.NewTestServer()})
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(grpcServer.Serve(listener))
}

func call(arguments []string) {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	port := flags.Int("port", 0, "where Envoy listens")
	name := flags.String("case", "ping_pong", "which case")
	runs := flags.Int("runs", 10, "how often")
	parallel := flags.Int("parallel", 4, "runs at a time, each on a connection of its own")
	timeout := flags.Duration("timeout", 10*time.Second, "the bound on one run")
	_ = flags.Parse(arguments)
	run, known := cases[*name]
	if !known {
		log.Fatalf("no case %q", *name)
	}

	numbers := make(chan int)
	var workers sync.WaitGroup
	for i := 0; i < *parallel; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			target := fmt.Sprintf("127.0.0.1:%d", *port)
			connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				log.Fatal(err)
			}
			defer connection.Close()
			for range numbers {
				ctx, cancel := context.WithTimeout(context.Background(), *timeout)
				run(ctx, testgrpc.NewTestServiceClient(connection))
				cancel()
			}
		}()
	}
	for i := 1; i <= *runs; i++ {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
	fmt.Printf("%s: %d runs passed\n", *name, *runs)
}

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "server":
		serve()
	case len(os.Args) > 1 && os.Args[1] == "client":
		call(os.Args[2:])
	default:
		log.Fatal("grpc-interop server | client -port N -case NAME -runs N")
	}
}
