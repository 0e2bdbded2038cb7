/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside RNDIS: what the files that answer OIDs share. A query's value is written to a buffer that
 * has room for the largest; a set checks all of a value before it takes any of it.
 *
 * Return, where it is a number: RNDIS_STATUS_.
 */
#pragma once

#include "vsp/network/rndis.h"

struct oid_query {
	const uint8_t *input;
	size_t input_size;
	uint32_t number; /* the row's */
	uint8_t *value;
	size_t size; /* of the value */
};

/* ---- rndis_oid.c ---- */

uint32_t oid_answer(struct oid_query *query, const void *value, size_t size);

/* Whether `length` bytes at `offset` are within `size`. */
bool oid_is_within(uint32_t offset, uint32_t length, size_t size);

/* Whether `length` bytes of UTF-16 are this text. */
bool oid_is_text(const uint8_t *value, const char *text, uint32_t length);

/* ---- rndis_offload.c ---- */

uint32_t rndis_query_offload(struct rndis *rndis, struct oid_query *query);
uint32_t rndis_query_current_offload(struct rndis *rndis, struct oid_query *query);
uint32_t rndis_set_offload(struct rndis *rndis, const uint8_t *value, size_t size);
uint32_t rndis_query_encapsulation(struct rndis *rndis, struct oid_query *query);
uint32_t rndis_set_encapsulation(struct rndis *rndis, const uint8_t *value, size_t size);

/* A keyword of a driver's configuration: its name, and the first character of its value, UTF-16. */
void rndis_set_offload_keyword(struct rndis *rndis, const uint8_t *name, uint32_t name_length,
			       const uint8_t *value);

/* ---- rndis_rss.c ---- */

uint32_t rndis_query_rss(struct rndis *rndis, struct oid_query *query);
uint32_t rndis_set_rss(struct rndis *rndis, const uint8_t *value, size_t size);
