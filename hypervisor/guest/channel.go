package guest

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/guest/internal/kern"
)

// Channel carries messages between the guest and the host, in order, none
// lost. Its methods may be called from any goroutine.
type Channel struct {
	area  area
	ready chan struct{} // there may be messages
	room  chan struct{} // there may be room

	sendLock sync.Mutex
	outTail  uint32
	recvLock sync.Mutex
	inHead   uint32
}

func newChannel(h *hub) *Channel {
	return &Channel{area: h.area, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// OpenChannel gives the channel to the host; ok is false if the tender has
// none.
func OpenChannel() (c *Channel, ok bool) {
	if !kern.Active() || machine().channel == nil {
		return nil, false
	}
	return machine().channel, true
}

// news passes an event of the tender on.
func (c *Channel) news() {
	notify(c.room)
	if c.pending() {
		notify(c.ready)
	}
}

func (c *Channel) pending() bool {
	return c.area.word(abi.SharedInTail).Load() != c.area.word(abi.SharedInHead).Load()
}

// Send gives the host a message of at most abi.MaxMessage bytes. It waits while
// the ring is full.
func (c *Channel) Send(msg []byte) error {
	if len(msg) > abi.MaxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(msg), abi.MaxMessage)
	}
	c.sendLock.Lock()
	defer c.sendLock.Unlock()
	space := abi.MessageSpace(len(msg))
	for abi.RingSize-(c.outTail-c.area.word(abi.SharedOutHead).Load()) < space {
		<-c.room
	}
	ring := c.area[abi.SharedOutRing:][:abi.RingSize]
	var header [abi.MessageHeader]byte
	binary.LittleEndian.PutUint32(header[:], uint32(len(msg)))
	ringWrite(ring, c.outTail, header[:])
	ringWrite(ring, c.outTail+abi.MessageHeader, msg)
	c.outTail += space
	c.area.word(abi.SharedOutTail).Store(c.outTail)
	if c.area.word(abi.SharedOutSleeps).Load() != 0 {
		kern.Kick(abi.HypercallKickChannel)
	}
	return nil
}

// Recv gives the next message, if there is one. It does not wait.
func (c *Channel) Recv() (msg []byte, ok bool) {
	c.recvLock.Lock()
	defer c.recvLock.Unlock()
	if c.area.word(abi.SharedInTail).Load() == c.inHead {
		return nil, false
	}
	ring := c.area[abi.SharedInRing:][:abi.RingSize]
	var header [abi.MessageHeader]byte
	ringRead(ring, c.inHead, header[:])
	msg = make([]byte, min(binary.LittleEndian.Uint32(header[:]), abi.MaxMessage))
	ringRead(ring, c.inHead+abi.MessageHeader, msg)
	c.inHead += abi.MessageSpace(len(msg))
	c.area.word(abi.SharedInHead).Store(c.inHead)
	if c.area.word(abi.SharedInWaits).Load() != 0 {
		kern.Kick(abi.HypercallKickChannel)
	}
	return msg, true
}

// Ready is sent to when messages may have come. A receiver first empties the
// channel with Recv, then waits here, in a select if it likes.
func (c *Channel) Ready() <-chan struct{} { return c.ready }

// Wait sleeps until there is a message or d has passed, and tells whether there
// is one.
func (c *Channel) Wait(d time.Duration) bool {
	if c.pending() {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for !c.pending() {
		select {
		case <-c.ready:
		case <-t.C:
			return c.pending()
		}
	}
	return true
}

func ringRead(ring []byte, at uint32, b []byte) {
	n := copy(b, ring[at%abi.RingSize:])
	copy(b[n:], ring)
}

func ringWrite(ring []byte, at uint32, b []byte) {
	n := copy(ring[at%abi.RingSize:], b)
	copy(ring, b[n:])
}
