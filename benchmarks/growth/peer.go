// SPDX-License-Identifier: MIT

// The other side of growth: bytebufferpool, and sync.Pool of bytes.Buffer. A buffer is borrowed,
// filled by writes of 64 bytes, and put back.
//
//	growth_go CPU
//
// A request is which of the two (0, 1), the bytes of a filling, and how many fillings; the answer is
// the nanoseconds that one took. Each size has pools of its own.
package main

import (
	"bytes"
	"sync"
	"time"

	"../support/partner"
	"github.com/valyala/bytebufferpool"
)

var piece [64]byte

//go:noinline
func fillByteBuffers(pool *bytebufferpool.Pool, size, count uint64) {
	for ; count > 0; count-- {
		b := pool.Get()
		for n := uint64(0); n < size; n += uint64(len(piece)) {
			b.Write(piece[:])
		}
		pool.Put(b)
	}
}

//go:noinline
func fillBuffers(pool *sync.Pool, size, count uint64) {
	for ; count > 0; count-- {
		b := pool.Get().(*bytes.Buffer)
		for n := uint64(0); n < size; n += uint64(len(piece)) {
			b.Write(piece[:])
		}
		b.Reset()
		pool.Put(b)
	}
}

// pools are those of one size.
type pools struct {
	byteBuffers bytebufferpool.Pool
	buffers     sync.Pool
}

func (p *pools) fill(peer, size, count uint64) {
	if peer == 0 {
		fillByteBuffers(&p.byteBuffers, size, count)
	} else {
		fillBuffers(&p.buffers, size, count)
	}
}

func main() {
	bySize := map[uint64]*pools{}
	partner.Pin(partner.CPUs()[0])
	partner.Serve(func(request []uint64) float64 {
		peer, size, count := request[0], request[1], request[2]
		p := bySize[size]
		if p == nil {
			p = &pools{buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
			bySize[size] = p
		}
		p.fill(peer, size, count/partner.WarmUp+1)
		start := time.Now()
		p.fill(peer, size, count)
		return float64(time.Since(start).Nanoseconds()) / float64(count)
	})
}
