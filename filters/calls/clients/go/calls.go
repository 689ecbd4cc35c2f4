// Package tsfiltercalls is the Go end of PROTOCOL.md: it serves methods to the host that has started this program.
package tsfiltercalls

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

const (
	version, maxFrame                                    = 1, 16 << 20
	hello, load, call, answer, failure, cancel, shutdown = 1, 2, 3, 4, 5, 6, 7
)

// What the bytes of a Payload are.
const Nothing, Bytes, JSON = byte(0), byte(1), byte(2)

type Payload struct {
	Format byte
	Bytes  []byte
}

// Decode reads JSON into v.
func (p Payload) Decode(v any) error { return json.Unmarshal(p.Bytes, v) }

// ToJSON makes a payload of anything.
func ToJSON(v any) (p Payload, err error) { p.Format = JSON; p.Bytes, err = json.Marshal(v); return }

// Method runs on a goroutine of its own; ctx is done when nobody waits for the answer any more.
type Method func(ctx context.Context, payload Payload) (Payload, error)

// Part is what one load gets.
type Part map[string]Method

// RemoteError is returned by a method: the caller sees its code. Other errors have the code FAILED.
type RemoteError struct{ Code, Message string }

func (e *RemoteError) Error() string { return e.Message }

// Serve makes parts by name, each from its init, until the host wants no more. An error means that the host broke the protocol.
func Serve(parts map[string]func(init Payload) (Part, error)) error {
	connection, err := net.Dial("unix", os.Getenv("TS_FILTER_CALLS"))
	if err != nil {
		return err
	}
	defer connection.Close()
	return (&server{connection: connection, parts: parts, running: map[uint32]context.CancelFunc{}}).run(1024)
}

type server struct {
	connection net.Conn
	parts      map[string]func(init Payload) (Part, error)
	part       Part
	mutex      sync.Mutex // of what follows, and of writing
	running    map[uint32]context.CancelFunc
	ending     bool
}

func (s *server) run(window uint32) error {
	all, end := context.WithCancel(context.Background())
	defer end()
	s.write(hello, Nothing, 0, binary.BigEndian.AppendUint32([]byte{0, version}, window))
	reader := bufio.NewReaderSize(s.connection, 1<<16)
	for {
		head := make([]byte, 10)
		if _, err := io.ReadFull(reader, head); err == io.EOF || errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(head)
		if length < 6 || length > maxFrame || head[5] > JSON {
			return fmt.Errorf("not a frame: length %d, format %d", length, head[5])
		}
		body := make([]byte, length-6)
		if _, err := io.ReadFull(reader, body); err != nil {
			return err
		}
		if err := s.handle(all, head[4], head[5], binary.BigEndian.Uint32(head[6:]), body); err != nil {
			return err
		}
	}
}

func (s *server) handle(all context.Context, kind, format byte, id uint32, body []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	stop, isRunning := s.running[id]
	switch {
	case kind == cancel && len(body) == 0:
		if isRunning {
			stop()
		}
	case kind == shutdown && len(body) == 0:
		s.ending = true
		s.endWhenDone()
	case kind == load && s.part == nil || kind == call && s.part != nil && !isRunning:
		end := 1
		if len(body) > 0 {
			end += int(body[0])
		}
		if len(body) < end {
			return errors.New("a name is longer than its frame")
		}
		name, payload := string(body[1:end]), Payload{format, body[end:]}
		if kind == load {
			s.load(name, payload)
			return nil
		}
		ctx, stop := context.WithCancel(all)
		s.running[id] = stop
		go s.call(ctx, id, name, payload)
	default:
		return fmt.Errorf("kind %d is not due", kind)
	}
	return nil
}

func (s *server) load(name string, init Payload) {
	err := fmt.Errorf("there is no part %s", name)
	if create := s.parts[name]; create != nil {
		s.part, err = create(init)
	}
	if err != nil {
		s.fail(0, "CALLS_LOAD_FAILED", err)
		return
	}
	s.write(answer, Nothing, 0, nil)
}

func (s *server) call(ctx context.Context, id uint32, name string, payload Payload) {
	result, err := Payload{}, error(&RemoteError{"CALLS_METHOD", "there is no method " + name})
	if method := s.part[name]; method != nil {
		result, err = method(ctx, payload)
	}
	if len(result.Bytes) > maxFrame-6 {
		err = &RemoteError{"CALLS_TOO_LARGE", fmt.Sprintf("the answer has %d bytes", len(result.Bytes))}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.running[id]()
	delete(s.running, id)
	if err != nil {
		s.fail(id, "FAILED", err)
	} else {
		s.write(answer, result.Format, id, result.Bytes)
	}
}

func (s *server) fail(id uint32, code string, err error) {
	message := fmt.Sprintf("%.16384s", err) // characters, of 4 bytes at most
	if remote := (*RemoteError)(nil); errors.As(err, &remote) {
		code = remote.Code
	}
	s.write(failure, Bytes, id, append([]byte{byte(len(code))}, code+message...))
}

// write is for who holds the mutex. Where nobody is there any more, the reader sees it, too.
func (s *server) write(kind, format byte, id uint32, body []byte) {
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 10+len(body)), uint32(6+len(body)))
	frame = binary.BigEndian.AppendUint32(append(frame, kind, format), id)
	_, _ = s.connection.Write(append(frame, body...))
	s.endWhenDone()
}

func (s *server) endWhenDone() {
	if s.ending && len(s.running) == 0 {
		s.connection.Close()
	}
}
