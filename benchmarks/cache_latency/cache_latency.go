// SPDX-License-Identifier: MIT

// The other side of cache_latency: sync.Pool, one Get, one store and one Put at a time.
//
//	cache_latency_go CPU...
//
// One thread on each of the CPUs. It prints its version, and then answers each line that it reads, a
// number of pairs, with the nanoseconds that a pair took, the mean of all threads, which begin at
// once. It ends with its input.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// warmUp: a sixteenth of a batch goes before it, for caches and branches.
const warmUp = 16

// depths: each of this number of rounds lies one frame further down on its stack, as the place of the
// stack is chance and may matter; the C side does the same.
const depths = 64

// object takes a cache line, as the objects on the C side do.
type object struct {
	number uint64
	_      [56]byte
}

var pool = sync.Pool{New: func() any { return new(object) }}

//go:noinline
func pairs(count uint64) {
	for i := uint64(0); i < count; i++ {
		o := pool.Get().(*object)
		o.number = i
		pool.Put(o)
	}
}

// arrived counts the threads that are about to begin, of all rounds so far.
var arrived uint64

//go:noinline
func batch(depth int, count, gathered uint64) float64 {
	if depth > 0 {
		return batch(depth-1, count, gathered)
	}
	pairs(count/warmUp + 1)
	atomic.AddUint64(&arrived, 1)
	for atomic.LoadUint64(&arrived) < gathered {
	}
	start := time.Now()
	pairs(count)
	return float64(time.Since(start).Nanoseconds()) / float64(count)
}

func pin(cpu int) {
	var set [128]byte
	set[cpu/8] = 1 << (cpu % 8)
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(set),
		uintptr(unsafe.Pointer(&set)))
	if errno != 0 {
		fail(errno)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "cache_latency_go:", err)
	os.Exit(2)
}

// worker runs what comes in counts on a thread of its own.
func worker(cpu int, threads uint64, counts <-chan uint64, results chan<- float64) {
	runtime.LockOSThread()
	pin(cpu)
	batch(depths, 1, 0) // so that the stack grows now
	atomic.AddUint64(&arrived, ^uint64(0))
	results <- 0
	for round := 1; ; round++ {
		count := <-counts
		results <- batch(round%depths, count, uint64(round)*threads)
	}
}

func main() {
	threads := len(os.Args) - 1
	runtime.GOMAXPROCS(threads)
	counts := make([]chan uint64, threads)
	results := make(chan float64)
	for i, arg := range os.Args[1:] {
		cpu, err := strconv.Atoi(arg)
		if err != nil {
			fail(err)
		}
		counts[i] = make(chan uint64)
		go worker(cpu, uint64(threads), counts[i], results)
		<-results
	}
	fmt.Println(runtime.Version())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		count, err := strconv.ParseUint(in.Text(), 10, 64)
		if err != nil {
			fail(err)
		}
		sum := 0.0
		for i := range counts {
			counts[i] <- count
		}
		for range counts {
			sum += <-results
		}
		fmt.Println(sum / float64(threads))
	}
}
