package wire

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	for _, m := range []*Message{
		{Kind: Started, Status: &Status{State: Running, Epoch: 7, Incarnation: 2, Durable: true}},
		{Kind: Output, Stream: Stderr, Offset: 1 << 40, Data: bytes.Repeat([]byte{0xff}, MaxData)},
		{Kind: Ended, Status: &Status{State: Exited, ExitCode: 3}, Reason: "done", NoSpace: true},
		{Kind: Ack, Stream: Stdout, Offset: 9},
		{Kind: Input, Offset: 5, Data: []byte("text"), EOF: true},
		{Kind: Stop},
		{Kind: WantInput, Offset: 12},
		{Kind: Waiting},
		{Kind: Ask},
	} {
		b, err := Encode(m)
		require.NoError(t, err)
		got, err := Decode(b)
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
}

func TestRefused(t *testing.T) {
	_, err := Encode(&Message{Kind: Output, Data: make([]byte, MaxData+1)})
	require.ErrorIs(t, err, ErrMessage)
	for name, m := range map[string]*Message{
		"unknown kind":    {Kind: 200},
		"no status":       {Kind: Progress},
		"no numbers":      {Kind: Numbers},
		"bad stream":      {Kind: Output, Stream: 2},
		"negative offset": {Kind: Ack, Offset: -1},
	} {
		b, err := Encode(m)
		require.NoError(t, err, name)
		_, err = Decode(b)
		require.ErrorIs(t, err, ErrMessage, name)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []*Message{{Kind: Stop}, {Kind: Numbers, Stats: sample(2)}, {Kind: Started, Status: &Status{Epoch: 1}}, {Kind: Output, Data: []byte("x")}} {
		b, _ := Encode(m)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMessage)
			return
		}
		_, err = Encode(m)
		require.NoError(t, err)
	})
}
