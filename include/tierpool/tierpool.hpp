/* SPDX-License-Identifier: MIT */
/*
 * C++17 and later: a buffer that puts itself back, a std::ostream into a buffer, std::format into a
 * buffer, and a std::pmr::memory_resource over a pool.
 *
 *     tierpool::buffer b{TIERPOOL_GET(pool)};    // a site of its own, as in C
 *     b.append("id=");
 *     tierpool_buf_printf(b.get(), "%d", id);    // all of tierpool/buffer.h, by get()
 *     tierpool::ostream(b) << " at " << std::setprecision(3) << seconds;
 *     if (b.error() == 0)
 *         send(b.view());
 *
 * All is in this header; the library has no part of it. In C++ the type tierpool, of which a program
 * has pointers, cannot be a namespace as well. So it is a class, with these as its members: write
 * `using tierpool::buffer` as `using buffer = tierpool::buffer`.
 *
 * Errors: as in C, and no exceptions but where the standard library demands them. A failed get gives
 * an empty buffer, whose calls return -ENOMEM; errors of a buffer stick; a stream sets badbit. A
 * memory_resource throws std::bad_alloc. Formatting throws what std::format throws.
 *
 * Only a handler of misuse may throw through other calls (see tierpool_on_misuse). If it throws, or its
 * thread ends, inside a destructor or a move, std::terminate ends the process.
 *
 * Threads: as in C. One buffer, with its stream, belongs to one thread at a time; a memory_resource may
 * be used from any thread.
 *
 * With -fno-exceptions a memory_resource calls std::abort in place of the throw, and with -fno-rtti it
 * is equal to itself only. Compile all parts of a program alike.
 */
#ifndef TIERPOOL_TIERPOOL_HPP
#define TIERPOOL_TIERPOOL_HPP

#if __cplusplus < 201703L
#error "tierpool/tierpool.hpp needs C++17"
#endif

#include <cstddef>
#include <cstdlib>
#include <new>
#include <ostream>
#include <streambuf>
#include <string_view>
#include <utility>

#if __has_include(<version>)
#include <version>
#endif
#if __has_include(<memory_resource>)
#include <memory_resource>
#endif
#ifdef __cpp_lib_format
#include <format>
#endif

#include <tierpool/buffer.h>
#include <tierpool/pool.h>

struct tierpool {
	class buffer;
	class streambuf;
	class ostream;
#ifdef __cpp_lib_memory_resource
	class memory_resource;
#endif
#ifdef __cpp_lib_format
	template <class... Args>
	static int format_to(buffer &b, std::format_string<Args...> format, Args &&...args);
#endif

	/* A program makes a pool by tierpool_create, and ends it by tierpool_destroy. */
	tierpool() = delete;
	tierpool(const tierpool &) = delete;
	tierpool &operator=(const tierpool &) = delete;
	~tierpool() = delete;
};

/* ---- the buffer ---- */

/*
 * Owns a borrowed buffer, or is empty, as a std::unique_ptr. It may be moved, and puts the buffer back.
 *
 * As a container it is a contiguous range of char: std::span(b) is its content, and what appends by
 * std::back_inserter(b) works, such as std::format_to and fmt::format_to.
 */
class tierpool::buffer
{
public:
	using value_type = char;

	/* Empty. */
	buffer() noexcept = default;

	/*
	 * Takes a borrowed buffer: buffer b{TIERPOOL_GET(pool)}, so that each such place is a site that
	 * learns its sizes. NULL: empty, as after a get that failed.
	 *
	 * After: the buffer is this object's.
	 */
	explicit buffer(tierpool_buf *borrowed) noexcept : buf(borrowed)
	{
	}

	/*
	 * Borrows as tierpool_get_sized, by the pool's own site: for a template or a wrapper, which would
	 * be one site for all its callers. n 0: the size that is calibrated for the pool.
	 *
	 * Errors: it is empty, and errno is ENOMEM, or EINVAL if pool is NULL.
	 */
	explicit buffer(tierpool *pool, std::size_t n = 0) : buf(tierpool_get_sized(pool, n))
	{
	}

	buffer(buffer &&from) noexcept : buf(from.release())
	{
	}

	/* Puts what it had, and leaves the other one empty; to itself: nothing. b = {} only puts. */
	buffer &operator=(buffer &&from) noexcept
	{
		tierpool_put(std::exchange(buf, from.release()));
		return *this;
	}

	~buffer()
	{
		tierpool_put(buf);
	}

	/* For the calls of tierpool/buffer.h, which all take NULL; and to set len. It stays the owner. */
	tierpool_buf *get() const noexcept
	{
		return buf;
	}

	/* Gives the buffer to the caller, who puts it. Returns: the buffer; NULL if it was empty. */
	[[nodiscard]] tierpool_buf *release() noexcept
	{
		return std::exchange(buf, nullptr);
	}

	/* Whether it has a buffer. Whether all calls went well: error(). */
	explicit operator bool() const noexcept
	{
		return buf != nullptr;
	}

	/*
	 * The content. Valid until the next call that may grow the buffer, or its put. If empty: nullptr
	 * and 0.
	 */
	char *data() noexcept
	{
		return buf ? buf->data : nullptr;
	}
	const char *data() const noexcept
	{
		return buf ? buf->data : nullptr;
	}
	std::size_t size() const noexcept
	{
		return buf ? buf->len : 0;
	}
	std::size_t capacity() const noexcept
	{
		return buf ? buf->cap : 0;
	}
	char *begin() noexcept
	{
		return data();
	}
	char *end() noexcept
	{
		return data() + size();
	}
	const char *begin() const noexcept
	{
		return data();
	}
	const char *end() const noexcept
	{
		return data() + size();
	}
	std::string_view view() const noexcept
	{
		return {data(), size()};
	}
	operator std::string_view() const noexcept
	{
		return view();
	}

	/* As tierpool_buf_append: text may lie in this buffer. Returns: 0, or a negative errno, which sticks. */
	int append(std::string_view text)
	{
		return tierpool_buf_append(buf, text.data(), text.size());
	}

	/* As tierpool_buf_append_byte. Returns: 0, or a negative errno, which sticks. */
	int push_back(char c)
	{
		return tierpool_buf_append_byte(buf, c);
	}

	/* As tierpool_buf_reset: no content, no error. If empty: nothing. */
	void clear()
	{
		tierpool_buf_reset(buf);
	}

	/* As tierpool_buf_error. Returns: 0, or the error that sticks; -ENOMEM if empty. */
	[[nodiscard]] int error() const
	{
		return tierpool_buf_error(buf);
	}

private:
	tierpool_buf *buf = nullptr;
};

/* ---- std::ostream ---- */

/*
 * Writes into the room behind the content of a buffer, with no memory of its own. The buffer grows as by
 * tierpool_buf_reserve. What was written is in len after a flush or the end of this object, and the
 * buffer is then the owner's: who may append, clear and grow it; the next write goes on behind that.
 *
 * tellp says the length that the buffer will have. No seek but to the end.
 *
 * Before: the buffer is put after the end of this object; and from a write to a flush nobody else
 *         changes it. (It may be moved to another tierpool::buffer.)
 * Errors: none is thrown. A write to NULL, or to a buffer to which an error sticks, fails, and so does
 *         one for which there is no memory. Of one failed write nothing is in the buffer.
 */
class tierpool::streambuf : public std::streambuf
{
public:
	explicit streambuf(tierpool_buf *b) : buf(b)
	{
	}
	streambuf(const streambuf &) = delete;
	streambuf &operator=(const streambuf &) = delete;

	~streambuf() override
	{
		commit();
	}

protected:
	int_type overflow(int_type c) override
	{
		commit();
		if (tierpool_buf_reserve(buf, 1) != 0)
			return traits_type::eof();
		expose();
		return traits_type::eq_int_type(c, traits_type::eof())
			       ? traits_type::not_eof(c)
			       : sputc(traits_type::to_char_type(c));
	}

	std::streamsize xsputn(const char *text, std::streamsize n) override
	{
		if (n <= epptr() - pptr()) {
			traits_type::copy(pptr(), text, static_cast<std::size_t>(n));
			setp(pptr() + n, epptr()); /* pbump takes an int */
			return n;
		}
		commit();
		if (tierpool_buf_append(buf, text, static_cast<std::size_t>(n)) != 0)
			return 0;
		expose();
		return n;
	}

	int sync() override
	{
		commit();
		return tierpool_buf_error(buf) == 0 ? 0 : -1;
	}

	pos_type seekoff(
		off_type off, std::ios_base::seekdir from, std::ios_base::openmode which) override
	{
		if (!buf || off != 0 || from == std::ios_base::beg || !(which & std::ios_base::out))
			return pos_type(off_type(-1));
		return pos_type(pptr() ? pptr() - buf->data : static_cast<off_type>(buf->len));
	}

private:
	/* Gives the room to the std::streambuf: until commit, len is behind. */
	void expose()
	{
		setp(buf->data + buf->len, buf->data + buf->cap);
	}

	void commit()
	{
		if (!pptr())
			return;
		buf->len = static_cast<std::size_t>(pptr() - buf->data);
		setp(nullptr, nullptr);
	}

	tierpool_buf *buf;
};

/*
 * A std::ostream with such a streambuf in it: appends to a buffer whatever << can print.
 *
 * Before: as tierpool::streambuf. So declare the buffer before the stream.
 * Errors: badbit: a write or a flush has failed; from the start, if the buffer is empty or an error
 *         sticks to it.
 */
class tierpool::ostream : public std::ostream
{
public:
	explicit ostream(tierpool_buf *b) : std::ostream(nullptr), room(b)
	{
		rdbuf(&room);
		if (tierpool_buf_error(b) != 0)
			setstate(std::ios_base::badbit);
	}
	explicit ostream(buffer &b) : ostream(b.get())
	{
	}

private:
	tierpool::streambuf room;
};

/* ---- std::format ---- */

#ifdef __cpp_lib_format
/*
 * Appends what std::format would give. It is formatted in place, not byte by byte as by
 * std::back_inserter(b), which takes longer. What does not fit is formatted a second
 * time, after the buffer has grown.
 *
 * Before:  no argument points into b, whose data may move.
 * After:   data may have moved. If a formatter throws, the content is as before.
 * Errors:  -ENOMEM: as tierpool_buf_reserve, or b is empty.
 * Returns: 0, or a negative errno, which sticks.
 */
template <class... Args>
int tierpool::format_to(buffer &b, std::format_string<Args...> format, Args &&...args)
{
	tierpool_buf *to = b.get();
	std::size_t size = 0;
	int error = tierpool_buf_reserve(to, 0);

	/* Twice at most. The arguments are forwarded for their types: formatting moves nothing. */
	while (!error) {
		std::size_t room = to->cap - to->len;

		size = static_cast<std::size_t>(std::format_to_n(to->data + to->len,
			static_cast<std::ptrdiff_t>(room), format, std::forward<Args>(args)...)
							.size);
		if (size <= room) {
			to->len += size;
			break;
		}
		error = tierpool_buf_reserve(to, size);
	}
	return error;
}
#endif

/* ---- std::pmr ---- */

#ifdef __cpp_lib_memory_resource
/*
 * Memory of a pool for the containers of std::pmr: each allocation of at least threshold bytes is the
 * block of a borrowed buffer, all borrowed at one site.
 *
 * What is smaller, or is to be aligned to more than 64, comes from upstream. A buffer takes at
 * least 137 bytes: a list or a map with a buffer for each node would take three to four times the
 * memory. (To pool small nodes, put a std::pmr::unsynchronized_pool_resource over this one.)
 *
 * Not for a pool whose backing is the program's own: each deallocation would take time in proportion to
 * the buffers of all such pools (tierpool_buf_of).
 *
 * Two of them are equal if pool, threshold and upstream are.
 *
 * Before: pool and upstream outlive it, and it outlives its containers; but if the pool is destroyed
 *         first, what is allocated stays valid, and is to be deallocated as ever.
 * Errors: std::bad_alloc: there is no memory, or pool is NULL.
 */
class tierpool::memory_resource : public std::pmr::memory_resource
{
public:
	explicit memory_resource(tierpool *pool, std::size_t threshold = 512,
		std::pmr::memory_resource *upstream = std::pmr::get_default_resource())
	    : from(pool), least(threshold), below(upstream)
	{
	}

protected:
	void *do_allocate(std::size_t n, std::size_t alignment) override
	{
		if (is_below(n, alignment))
			return below->allocate(n, alignment);
		tierpool_buf *b = TIERPOOL_GET_SIZED(from, n);
		if (b) {
			b->len = n; /* what the profile takes as used */
			return b->data;
		}
#ifdef __cpp_exceptions
		throw std::bad_alloc();
#else
		std::abort();
#endif
	}

	void do_deallocate(void *data, std::size_t n, std::size_t alignment) override
	{
		if (is_below(n, alignment))
			below->deallocate(data, n, alignment);
		else
			tierpool_put(tierpool_buf_of(data));
	}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
#ifdef __cpp_rtti
		auto *same = dynamic_cast<const memory_resource *>(&other);

		return same && same->from == from && same->least == least && *same->below == *below;
#else
		return this == &other;
#endif
	}

private:
	bool is_below(std::size_t n, std::size_t alignment) const
	{
		return n < least || alignment > 64;
	}

	tierpool *from;
	std::size_t least;
	std::pmr::memory_resource *below;
};
#endif

#endif
