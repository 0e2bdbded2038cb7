/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key-value pairs, in the guest.
 *
 * Pairs are kept as they go over the wire: UTF-16 with its NUL, sizes in bytes.
 */
#include "guest-vsc/ic_kvp_client.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/text.h"

#define UNIT 2u /* bytes of UTF-16 */

static struct ic_kvp_client *kvp_of(struct ic_client *client)
{
	return container_of(client, struct ic_kvp_client, ic);
}

/* ---- Texts ---- */

/* Return: bytes with the NUL; 0: it does not fit. */
static uint16_t from_ascii(uint8_t *wire, size_t size, const char *text)
{
	size_t count = text_length(text) + 1;

	if (count * UNIT > size)
		return 0;
	for (size_t i = 0; i < count; i++) {
		wire[i * UNIT] = (uint8_t)text[i];
		wire[i * UNIT + 1] = 0;
	}
	return (uint16_t)(count * UNIT);
}

/* Whether the host's size of a text makes sense: a NUL at least, and one where it ends. */
static bool is_text(const uint8_t *wire, uint32_t size, uint32_t size_max)
{
	return size >= UNIT && size <= size_max && size % UNIT == 0 && wire[size - 1] == 0 &&
	       wire[size - UNIT] == 0;
}

/* ---- Pairs ---- */

static struct ic_kvp_pair *find_pair(struct ic_kvp_client *kvp, uint8_t pool, const uint8_t *key,
				     uint32_t key_size)
{
	for (unsigned i = 0; i < kvp->pair_count; i++) {
		struct ic_kvp_pair *pair = &kvp->pairs[i];

		if (pair->pool == pool && pair->key_size == key_size &&
		    memcmp(pair->key, key, key_size) == 0)
			return pair;
	}
	return NULL;
}

/* Sizes have been checked. Return: false if there is no room. */
static bool put_pair(struct ic_kvp_client *kvp, uint8_t pool, const uint8_t *key, uint32_t key_size,
		     const uint8_t *value, uint32_t value_size)
{
	struct ic_kvp_pair *pair = find_pair(kvp, pool, key, key_size);

	if (!pair && kvp->pair_count == IC_KVP_CLIENT_PAIRS_MAX)
		return false;
	if (!pair) {
		pair = &kvp->pairs[kvp->pair_count++];
		pair->pool = pool;
		pair->key_size = (uint16_t)key_size;
		memcpy(pair->key, key, key_size);
	}
	pair->value_size = (uint16_t)value_size;
	memcpy(pair->value, value, value_size);
	return true;
}

static void remove_pair(struct ic_kvp_client *kvp, struct ic_kvp_pair *pair)
{
	size_t after = (size_t)(&kvp->pairs[kvp->pair_count] - (pair + 1));

	memmove(pair, pair + 1, after * sizeof(*pair));
	kvp->pair_count--;
}

bool ic_kvp_client_set(struct ic_kvp_client *kvp, enum ic_kvp_pool pool, const char *key,
		       const char *value)
{
	uint8_t key_wire[IC_KVP_KEY_SIZE], value_wire[IC_KVP_VALUE_SIZE];
	uint16_t key_size = from_ascii(key_wire, sizeof(key_wire), key);
	uint16_t value_size = from_ascii(value_wire, sizeof(value_wire), value);

	return key_size && value_size &&
	       put_pair(kvp, (uint8_t)pool, key_wire, key_size, value_wire, value_size);
}

bool ic_kvp_client_has(const struct ic_kvp_client *kvp, enum ic_kvp_pool pool, const char *key,
		       const char *value)
{
	uint8_t key_wire[IC_KVP_KEY_SIZE], value_wire[IC_KVP_VALUE_SIZE];
	uint16_t key_size = from_ascii(key_wire, sizeof(key_wire), key);
	uint16_t value_size = from_ascii(value_wire, sizeof(value_wire), value);
	const struct ic_kvp_pair *pair =
		key_size ? find_pair((struct ic_kvp_client *)kvp, (uint8_t)pool, key_wire, key_size)
			 : NULL;

	return pair && value_size == pair->value_size &&
	       memcmp(pair->value, value_wire, value_size) == 0;
}

/* ---- Requests ---- */

/* An item of which the host has said the key. */
static void fill_value(struct ic_kvp_item *item, const struct ic_kvp_pair *pair)
{
	item->type = IC_KVP_TEXT;
	item->value_size = pair->value_size;
	memcpy(item->value, pair->value, pair->value_size);
}

static uint32_t serve_get(struct ic_kvp_client *kvp, struct ic_kvp_body *body)
{
	struct ic_kvp_item *item = &body->item;
	const struct ic_kvp_pair *pair;

	if (!is_text(item->key, item->key_size, sizeof(item->key)))
		return IC_STATUS_FAIL;
	pair = find_pair(kvp, body->header.pool, item->key, item->key_size);
	if (!pair)
		return IC_KVP_STATUS_NO_ELEMENT;
	fill_value(item, pair);
	return IC_STATUS_OK;
}

static uint32_t serve_set(struct ic_kvp_client *kvp, const struct ic_kvp_body *body)
{
	const struct ic_kvp_item *item = &body->item;

	if (body->header.pool == IC_KVP_POOL_AUTO || item->type != IC_KVP_TEXT ||
	    !is_text(item->key, item->key_size, sizeof(item->key)) ||
	    !is_text(item->value, item->value_size, sizeof(item->value)))
		return IC_STATUS_FAIL;
	return put_pair(kvp, body->header.pool, item->key, item->key_size, item->value,
			item->value_size)
		       ? IC_STATUS_OK
		       : IC_STATUS_FAIL;
}

static uint32_t serve_delete(struct ic_kvp_client *kvp, const struct ic_kvp_body *body)
{
	struct ic_kvp_pair *pair;

	if (body->header.pool == IC_KVP_POOL_AUTO ||
	    !is_text(body->delete.key, body->delete.key_size, sizeof(body->delete.key)))
		return IC_STATUS_FAIL;
	pair = find_pair(kvp, body->header.pool, body->delete.key, body->delete.key_size);
	if (!pair)
		return IC_KVP_STATUS_NO_ELEMENT;
	remove_pair(kvp, pair);
	return IC_STATUS_OK;
}

static uint32_t serve_enumerate(struct ic_kvp_client *kvp, struct ic_kvp_body *body)
{
	struct ic_kvp_item *item = &body->enumerate.item;
	uint32_t index = body->enumerate.index;

	for (unsigned i = 0; i < kvp->pair_count; i++) {
		const struct ic_kvp_pair *pair = &kvp->pairs[i];

		if (pair->pool != body->header.pool || index-- > 0)
			continue;
		item->key_size = pair->key_size;
		memcpy(item->key, pair->key, pair->key_size);
		fill_value(item, pair);
		return IC_STATUS_OK;
	}
	return IC_KVP_STATUS_NO_MORE_ITEMS;
}

/* There are no adapters to have addresses. */
static uint32_t serve_body(struct ic_kvp_client *kvp, struct ic_kvp_body *body)
{
	if (body->header.pool > IC_KVP_POOL_AUTO_INTERNAL)
		return IC_STATUS_FAIL;
	switch (body->header.operation) {
	case IC_KVP_GET:
		return serve_get(kvp, body);
	case IC_KVP_SET:
		return serve_set(kvp, body);
	case IC_KVP_DELETE:
		return serve_delete(kvp, body);
	case IC_KVP_ENUMERATE:
		return serve_enumerate(kvp, body);
	case IC_KVP_GET_ADDRESSES:
	case IC_KVP_SET_ADDRESSES:
		return IC_KVP_STATUS_NO_GUID;
	default:
		return IC_STATUS_FAIL;
	}
}

static uint32_t serve_kvp(struct ic_client *client, void *body, size_t size)
{
	if (size < sizeof(struct ic_kvp_body))
		return IC_STATUS_FAIL;
	return serve_body(kvp_of(client), body);
}

static const struct ic_version kvp_versions[] = { { 5, 0 }, { 4, 0 }, { 3, 0 } };

const struct ic_client_kind ic_kvp_client_kind = {
	.type = IC_KVP_TYPE,
	.message_type = IC_MESSAGE_KVP,
	.versions = kvp_versions,
	.version_count = ARRAY_SIZE(kvp_versions),
	.serve = serve_kvp,
};
