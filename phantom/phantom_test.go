package phantom_test

import (
	"fmt"
	"testing"

	"phantomvm/phantom"
)

func ExampleSync() {
	balance := map[string]int{"alice": 100}
	balance["alice"] -= 30
	balance["bob"] += 30
	phantom.Sync() // from here on no power cut undoes the transfer
	fmt.Println("transferred, bob has", balance["bob"])
	// Output: transferred, bob has 30
}

func TestSyncReturns(*testing.T) {
	phantom.Sync() // an ordinary process has nothing to wait for
}
