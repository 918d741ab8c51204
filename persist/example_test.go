package persist_test

import (
	"fmt"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// A tool commits pages and finds them again. A running program uses a
// Checkpointer instead of Store.Commit.
func Example() {
	dev := sim.New(1 << 20)
	store, err := persist.Create(dev, persist.Options{InstanceID: persist.InstanceID{1}})
	if err != nil {
		panic(err)
	}
	page := make([]byte, persist.BlockSize)
	copy(page, "hello")
	epoch, err := store.Commit([]byte("metadata"), []persist.PageImage{{ID: 1 << 20, Data: page}})
	if err != nil {
		panic(err)
	}
	fmt.Println("durable:", epoch)

	store, rec, err := persist.Open(dev)
	if err != nil {
		panic(err)
	}
	fmt.Println("recovered:", rec.Epoch, string(rec.Meta), rec.Pages)
	got := make([]byte, persist.BlockSize)
	if err := store.LoadPage(1<<20, got); err != nil {
		panic(err)
	}
	fmt.Println(string(got[:5]))
	// Output:
	// durable: 2
	// recovered: 2 metadata 1
	// hello
}
