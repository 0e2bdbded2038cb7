/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts the bytes that a program copies through the C library. Preload it; BENCH_COPIES names a
 * file of 8 bytes that holds the count, shared with whoever wants to read it meanwhile.
 *
 * Copies that the compiler made instructions of are not seen, in no program alike.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t *copied;

__attribute__((constructor)) static void copies_begin(void)
{
	const char *path = getenv("BENCH_COPIES");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*copied), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		copied = map;
}

static void copies_count(size_t size)
{
	if (copied)
		__atomic_add_fetch(copied, size, __ATOMIC_RELAXED);
}

/* By instructions, lest the compiler call what is being defined here. */
static void copy_up(void *to, const void *from, size_t size)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
}

static void copy_down(void *to, const void *from, size_t size)
{
	to = (char *)to + size - 1;
	from = (const char *)from + size - 1;
	__asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(size)::"memory");
}

void *memmove(void *to, const void *from, size_t size)
{
	copies_count(size);
	if ((uintptr_t)to - (uintptr_t)from < size)
		copy_down(to, from, size);
	else
		copy_up(to, from, size);
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	return memmove(to, from, size);
}

void *mempcpy(void *to, const void *from, size_t size)
{
	return (char *)memmove(to, from, size) + size;
}

/* What _FORTIFY_SOURCE makes of them. */
void *__memmove_chk(void *to, const void *from, size_t size, size_t room);
void *__memcpy_chk(void *to, const void *from, size_t size, size_t room);

void *__memmove_chk(void *to, const void *from, size_t size, size_t room)
{
	if (size > room)
		abort();
	return memmove(to, from, size);
}

void *__memcpy_chk(void *to, const void *from, size_t size, size_t room)
{
	return __memmove_chk(to, from, size, room);
}
