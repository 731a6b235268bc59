// SPDX-License-Identifier: MIT

// The other side of cache_latency: sync.Pool, one Get, one store and one Put at a time.
//
//	cache_latency_go CPU...
//
// One thread on each of the CPUs. A request is a number of pairs; the answer is the nanoseconds that
// a pair took, the mean of all threads, which begin at once.
package main

import (
	"sync"
	"sync/atomic"
	"time"

	"../support/partner"
)

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
	pairs(count/partner.WarmUp + 1)
	atomic.AddUint64(&arrived, 1)
	for atomic.LoadUint64(&arrived) < gathered {
	}
	start := time.Now()
	pairs(count)
	return float64(time.Since(start).Nanoseconds()) / float64(count)
}

// worker runs what comes in counts on a thread of its own.
func worker(cpu int, threads uint64, counts <-chan uint64, results chan<- float64) {
	partner.Pin(cpu)
	batch(depths, 1, 0) // so that the stack grows now
	atomic.AddUint64(&arrived, ^uint64(0))
	results <- 0
	for round := 1; ; round++ {
		count := <-counts
		results <- batch(round%depths, count, uint64(round)*threads)
	}
}

func main() {
	cpus := partner.CPUs()
	counts := make([]chan uint64, len(cpus))
	results := make(chan float64)
	for i, cpu := range cpus {
		counts[i] = make(chan uint64)
		go worker(cpu, uint64(len(cpus)), counts[i], results)
		<-results
	}
	partner.Serve(func(request []uint64) float64 {
		sum := 0.0
		for i := range counts {
			counts[i] <- request[0]
		}
		for range counts {
			sum += <-results
		}
		return sum / float64(len(counts))
	})
}
