/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compiler helpers.
 *
 * Attributes, array and container arithmetic, checked integer arithmetic. Freestanding: the wire
 * formats and the guest-side drivers use it too.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef NDEBUG
#error "assertions belong to every build"
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define MIN(a, b)                                  \
	({                                         \
		__typeof__(a) min_a_ = (a);        \
		__typeof__(b) min_b_ = (b);        \
		min_a_ < min_b_ ? min_a_ : min_b_; \
	})

#define MAX(a, b)                                  \
	({                                         \
		__typeof__(a) max_a_ = (a);        \
		__typeof__(b) max_b_ = (b);        \
		max_a_ > max_b_ ? max_a_ : max_b_; \
	})

/* Power-of-two alignment only. */
#define ALIGN_UP(value, alignment) \
	(((value) + ((__typeof__(value))(alignment)-1)) & ~((__typeof__(value))(alignment)-1))
#define ALIGN_DOWN(value, alignment) ((value) & ~((__typeof__(value))(alignment)-1))
#define IS_ALIGNED(value, alignment) (((value) & ((__typeof__(value))(alignment)-1)) == 0)

#define PACKED                   __attribute__((packed))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define MUST_CHECK               __attribute__((warn_unused_result))

/* True if the sum or product does not fit *result. */
#define ADD_OVERFLOWS(a, b, result) __builtin_add_overflow(a, b, result)
#define MUL_OVERFLOWS(a, b, result) __builtin_mul_overflow(a, b, result)

/* Frequently false; keeps the refusal of bad guest input off the hot path. */
#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
