// Ledger moves money between accounts from many goroutines at once. Money is
// neither made nor lost: every few transfers all accounts are locked and the
// total is audited, and the books are closed up to there: no power cut reopens
// them. What is printed does not depend on scheduling.
package main

import (
	"fmt"
	"os"
	"sync"

	"phantomvm/phantom"
)

const (
	accounts  = 64
	opening   = 1000
	tellers   = 8
	transfers = 20000 // by each teller
	auditEach = 4000  // transfers in all between two audits
)

type account struct {
	sync.Mutex
	balance int
}

type bank struct {
	accounts [accounts]account
	mu       sync.Mutex
	done     int
	audits   int
}

// transfer moves amount if the balance allows it. Locks are taken in order of the account number.
func (b *bank) transfer(from, to, amount int) {
	if from == to {
		return
	}
	first, second := min(from, to), max(from, to)
	b.accounts[first].Lock()
	defer b.accounts[first].Unlock()
	b.accounts[second].Lock()
	defer b.accounts[second].Unlock()
	if b.accounts[from].balance >= amount {
		b.accounts[from].balance -= amount
		b.accounts[to].balance += amount
	}
}

// finished counts a transfer; every auditEach-th one audits the bank.
func (b *bank) finished() {
	if b.count() {
		phantom.Sync() // the other tellers go on meanwhile
	}
}

// count counts a transfer and says whether it was audited.
func (b *bank) count() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if b.done%auditEach != 0 {
		return false
	}
	b.audits++
	fmt.Printf("audit %2d after %6d transfers: total %d\n", b.audits, b.done, b.total())
	return true
}

func (b *bank) total() int {
	sum := 0
	for i := range b.accounts {
		b.accounts[i].Lock()
		defer b.accounts[i].Unlock()
	}
	for i := range b.accounts {
		sum += b.accounts[i].balance
	}
	if sum != accounts*opening {
		fmt.Println("money was lost or made:", sum)
		os.Exit(1)
	}
	return sum
}

func main() {
	b := new(bank)
	for i := range b.accounts {
		b.accounts[i].balance = opening
	}
	var wg sync.WaitGroup
	for t := range tellers {
		wg.Go(func() {
			seed := uint32(t + 1)
			next := func(n int) int { // xorshift, one stream for each teller
				seed ^= seed << 13
				seed ^= seed >> 17
				seed ^= seed << 5
				return int(seed % uint32(n))
			}
			for range transfers {
				b.transfer(next(accounts), next(accounts), 1+next(50))
				b.finished()
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d transfers, %d audits, total %d\n", b.done, b.audits, b.total())
}
