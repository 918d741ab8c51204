package tender

import (
	"encoding/binary"

	"phantomvm/hypervisor/abi"
)

// serveChannel hands the guest's messages to the handler until the guest has
// ended and the ring is empty.
func (e *extension) serveChannel() {
	tail, head := e.word(abi.SharedOutTail), e.word(abi.SharedOutHead)
	bell := e.sleeps[abi.HypercallKickChannel]
	ring := e.b[abi.SharedOutRing:][:abi.RingSize]
	for done := uint32(0); ; {
		t := tail.Load()
		if t-done > abi.RingSize || t%8 != 0 {
			e.fail("channel: tail %d, head %d", t, done)
			return
		}
		if t == done {
			if !bell.wait(e.stop, func() bool { return tail.Load() != done }) && tail.Load() == done {
				return
			}
			continue
		}
		for done != t {
			var header [abi.MessageHeader]byte
			ringRead(ring, done, header[:])
			n := binary.LittleEndian.Uint32(header[:])
			if n > abi.MaxMessage || abi.MessageSpace(int(n)) > t-done {
				e.fail("channel: message of %d bytes", n)
				return
			}
			msg := make([]byte, n)
			ringRead(ring, done+abi.MessageHeader, msg)
			done += abi.MessageSpace(int(n))
			head.Store(done)
			e.vm.cfg.Channel(msg)
		}
		e.announce()
	}
}

func ringRead(ring []byte, at uint32, b []byte) {
	n := copy(b, ring[at%abi.RingSize:])
	copy(b[n:], ring)
}

func ringWrite(ring []byte, at uint32, b []byte) {
	n := copy(ring[at%abi.RingSize:], b)
	copy(ring, b[n:])
}

// send puts a message into the ring to the guest, waiting for room.
func (e *extension) send(msg []byte, ended <-chan struct{}) error {
	e.sendLock.Lock()
	defer e.sendLock.Unlock()
	select {
	case <-ended:
		return ErrEnded // the memory may be gone
	default:
	}
	head, waits := e.word(abi.SharedInHead), e.word(abi.SharedInWaits)
	room := func() bool {
		used := e.inTail - head.Load()
		return used <= abi.RingSize && abi.RingSize-used >= abi.MessageSpace(len(msg))
	}
	for !room() {
		waits.Store(1)
		if room() {
			break
		}
		select {
		case <-e.inRoom:
		case <-ended:
			return ErrEnded
		}
	}
	waits.Store(0)
	ring := e.b[abi.SharedInRing:][:abi.RingSize]
	var header [abi.MessageHeader]byte
	binary.LittleEndian.PutUint32(header[:], uint32(len(msg)))
	ringWrite(ring, e.inTail, header[:])
	ringWrite(ring, e.inTail+abi.MessageHeader, msg)
	e.inTail += abi.MessageSpace(len(msg))
	e.word(abi.SharedInTail).Store(e.inTail)
	e.announce()
	return nil
}
