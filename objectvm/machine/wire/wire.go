// Package wire is the language that a machine (the VM with its checkpoints,
// inside a guest or in a process) and its host speak over a [Link]: ordered
// messages of at most [MaxMessage] bytes, each one msgpack array.
//
// The machine sends what became durable, the host sends acknowledgements,
// input and commands. Neither side trusts the other: Decode never panics, and
// each side checks what a message claims.
package wire

import (
	"errors"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// MaxMessage bounds an encoded message, MaxData the bytes in it.
const (
	MaxMessage = 60 << 10
	MaxData    = 48 << 10
)

// ErrMessage is wrapped by every error of Decode.
var ErrMessage = errors.New("malformed message")

// Kind says what a message is about.
type Kind uint8

// Messages of the machine.
const (
	Started   Kind = iota + 1 // Status; the first message
	Output                    // Stream, Offset, Data: durable output, in order of offset
	Progress                  // Status: a new durable epoch
	WantInput                 // Offset: the program waits for input from there on
	Ended                     // Status, Reason: the last message; State says how it ended
	Note                      // Reason: what the user should know of the recovery, one line
	Numbers                   // Stats: now and then, and in answer to Ask
	Waiting                   // for acknowledgements; nothing else is left to do
)

// Messages of the host.
const (
	Ack   Kind = iota + 64 // Stream, Offset: output up to there is safe outside
	Input                  // Offset, Data, EOF: input that begins at Offset
	Stop                   // make a last checkpoint and end
	Ask                    // for Numbers
)

// Streams of a program.
const (
	Stdout  = 0
	Stderr  = 1
	Streams = 2
)

// State of an instance.
type State uint8

// States.
const (
	Running State = iota
	Stopped       // ended at a checkpoint, can go on
	Exited        // the program ended
	Crashed       // the program ended by an uncaught panic or a fatal error
	Failed        // the machine could not go on (Reason says why); the last durable epoch can
)

var stateNames = [...]string{"running", "stopped", "exited", "crashed", "failed"}

// String returns the name that `status` shows.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Status is what a machine knows of itself at a durable epoch.
type Status struct {
	_msgpack    struct{} `msgpack:",as_array"`
	State       State
	ExitCode    int
	Epoch       uint64 // newest durable epoch
	Incarnation uint64 // 1 for the first start
	DurableAt   int64  // wall clock, Unix nanoseconds
	FirstInstr  int64  // wall clock at the first instruction of this incarnation, Unix nanoseconds
	Resumed     uint64 // epoch that this incarnation began from
	ArenaPages  uint64 // pages of the arena in use
	DirtyPages  uint64 // pages in the newest checkpoint
	Checkpoints uint64 // of this incarnation
	Goroutines  uint64
	HeldBack    uint64 // bytes of output that wait for a checkpoint
	Durable     bool   // the device flushes: checkpoints survive the host's power cut
}

// Message is one message; which fields count depends on Kind.
type Message struct {
	_msgpack struct{} `msgpack:",as_array"`
	Kind     Kind
	Stream   uint8
	Offset   int64
	Data     []byte
	EOF      bool
	Status   *Status
	Reason   string
	NoSpace  bool // Ended: the device is full
	Damaged  bool // Ended: the image is damaged or of another version
	Stats    *Stats
	NoMemory bool // Ended: memory is full
}

// Link carries messages one way and the other. Send may wait while the other side is slow;
// Recv does not wait. Wait returns when a message may have come, when the wake channel of the
// caller fires, or at the deadline.
type Link interface {
	Send(msg []byte) error
	Recv() (msg []byte, ok bool)
	Wait(until time.Time, wake <-chan struct{})
}

// Encode returns m's bytes.
func Encode(m *Message) ([]byte, error) {
	if len(m.Data) > MaxData {
		return nil, fmt.Errorf("%w: %d bytes of data", ErrMessage, len(m.Data))
	}
	b, err := msgpack.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	return b, nil
}

// Decode reads one message; errors wrap ErrMessage.
func Decode(b []byte) (*Message, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	m := new(Message)
	if err := msgpack.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	switch m.Kind {
	case Started, Progress, Ended:
		if m.Status == nil {
			return nil, fmt.Errorf("%w: kind %d without a status", ErrMessage, m.Kind)
		}
	case Numbers:
		if m.Stats == nil {
			return nil, fmt.Errorf("%w: kind %d without numbers", ErrMessage, m.Kind)
		}
	case Output, WantInput, Note, Waiting, Ack, Input, Stop, Ask:
	default:
		return nil, fmt.Errorf("%w: kind %d", ErrMessage, m.Kind)
	}
	if m.Stream >= Streams || m.Offset < 0 || len(m.Data) > MaxData {
		return nil, fmt.Errorf("%w: stream %d, offset %d, %d bytes", ErrMessage, m.Stream, m.Offset, len(m.Data))
	}
	return m, nil
}
