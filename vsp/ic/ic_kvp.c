/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key-value pair service.
 *
 * Operations are a queue; the first is the one whose request is under way. To enumerate takes a
 * request for each index until the guest says there are no more. So does to get: IC_KVP_GET exists,
 * but Linux answers it with the value's first four bytes missing (kvp_respond_to_host() reads it as
 * that of an enumeration, which lies four bytes further on).
 *
 * The service asks by itself, too, by an operation like any other: it enumerates the pool in which
 * the guest describes itself. It does so when it connects, which is before the guest has its
 * addresses, and then after soon_ns, twice that, and so on until it is every refresh_ns.
 *
 * The one timer is that of the guest's time-out while a request is under way, and else that of the
 * next refresh.
 */
#include "vsp/ic/ic_kvp.h"

#include "common/base/list.h"
#include "common/base/state.h"
#include "common/base/utf16.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kvp_operation {
	struct list link; /* in kvp->operations */
	const struct ic_kvp_handler *handler;
	void *data;
	char key[IC_KVP_KEY_MAX]; /* the one pair wanted of an enumeration; "": all */
	size_t size;              /* of the request */
	union {
		struct ic_kvp_body body;
		struct ic_kvp_address_body addresses;
	};
};

struct ic_kvp {
	struct ic_service service;
	const struct ic_kvp_callbacks *callbacks;
	void *data;
	struct ic_kvp_options options;
	struct list operations;
	unsigned operation_count;
	bool starting;                    /* kvp_continue() is running */
	bool orphaned;                    /* who made the request under way is not known here */
	struct ic_kvp_guest guest, fresh; /* as told; as the refresh under way has found it */
	uint64_t interval;                /* between the last refresh and the next */
	uint64_t refresh_at;              /* by loop_now() */
};

static const struct ic_version kvp_versions[] = { { 3, 0 }, { 4, 0 }, { 5, 0 } };

static struct ic_kvp *kvp_of(struct ic_service *service)
{
	return container_of(service, struct ic_kvp, service);
}

static struct kvp_operation *kvp_first(struct ic_kvp *kvp)
{
	return list_empty(&kvp->operations)
		       ? NULL
		       : container_of(kvp->operations.next, struct kvp_operation, link);
}

/* ---- When the guest is asked about itself ---- */

static void kvp_start_interval(struct ic_kvp *kvp, uint64_t interval)
{
	kvp->interval = MIN(interval, kvp->options.refresh_ns);
	kvp->refresh_at = loop_now() + kvp->interval;
}

static void kvp_await_refresh(struct ic_kvp *kvp)
{
	uint64_t now = loop_now();

	ic_service_start_timer(&kvp->service, kvp->refresh_at > now ? kvp->refresh_at - now : 0);
}

/* ---- The queue ---- */

static void kvp_finish(struct ic_kvp *kvp, struct kvp_operation *operation, int result)
{
	list_unlink(&operation->link);
	kvp->operation_count--;
	if (operation->handler->done)
		operation->handler->done(operation->data, result);
	free(operation);
}

/* Sends the first operation's request, or waits for the next refresh. */
static void kvp_continue(struct ic_kvp *kvp)
{
	struct kvp_operation *operation;

	if (kvp->starting || !ic_service_is_connected(&kvp->service) || kvp->service.waiting)
		return;
	kvp->starting = true;
	while ((operation = kvp_first(kvp)) &&
	       ic_service_request(&kvp->service, &operation->body, operation->size) < 0)
		kvp_finish(kvp, operation, IC_E_TIMEOUT); /* its ring is full: it reads nothing */
	kvp->starting = false;
	if (operation)
		ic_service_start_timer(&kvp->service, kvp->options.timeout_ns);
	else
		kvp_await_refresh(kvp);
}

static int kvp_append(struct ic_kvp *kvp, const struct ic_kvp_handler *handler, void *data,
		      size_t size, struct kvp_operation **ret_operation)
{
	struct kvp_operation *operation;

	if (!ic_service_is_connected(&kvp->service))
		return -ENOTCONN;
	if (kvp->operation_count == IC_KVP_QUEUE_MAX)
		return -EBUSY;
	operation = calloc(1, sizeof(*operation));
	if (!operation)
		return -ENOMEM;
	operation->handler = handler;
	operation->data = data;
	operation->size = size;
	*ret_operation = operation;
	return 0;
}

static void kvp_start(struct ic_kvp *kvp, struct kvp_operation *operation)
{
	list_append(&kvp->operations, &operation->link);
	kvp->operation_count++;
	kvp_continue(kvp);
}

/* ---- What the guest tells of itself ---- */

static void refresh_pair(void *data, const char *key, const char *value)
{
	struct ic_kvp *kvp = data;

	ic_kvp_guest_take(&kvp->fresh, key, value);
}

static void kvp_set_guest(struct ic_kvp *kvp, const struct ic_kvp_guest *guest)
{
	if (memcmp(&kvp->guest, guest, sizeof(*guest)) == 0)
		return;
	kvp->guest = *guest;
	kvp->callbacks->guest(kvp->data, &kvp->guest);
}

static void refresh_done(void *data, int result)
{
	struct ic_kvp *kvp = data;

	if (result)
		return;
	kvp_set_guest(kvp, &kvp->fresh);
	if (kvp->callbacks->refreshed)
		kvp->callbacks->refreshed(kvp->data);
}

static void kvp_refresh(struct ic_kvp *kvp)
{
	static const struct ic_kvp_handler handler = { .pair = refresh_pair, .done = refresh_done };

	memset(&kvp->fresh, 0, sizeof(kvp->fresh));
	kvp_start_interval(kvp, 2 * kvp->interval);
	if (ic_kvp_enumerate(kvp, IC_KVP_POOL_AUTO, &handler, kvp) < 0)
		kvp_await_refresh(kvp);
}

void ic_kvp_refresh_soon(struct ic_kvp *kvp)
{
	kvp_start_interval(kvp, kvp->options.soon_ns);
	if (ic_kvp_is_connected(kvp) && !kvp_first(kvp) && !kvp->orphaned)
		kvp_await_refresh(kvp);
}

/* ---- Answers ---- */

/* Return: 0; IC_E_. */
static int kvp_result(uint32_t status)
{
	switch (status) {
	case IC_STATUS_OK:
		return 0;
	case IC_KVP_STATUS_NO_MORE_ITEMS:
	case IC_KVP_STATUS_NO_FILE:
	case IC_KVP_STATUS_NO_ELEMENT:
	case IC_KVP_STATUS_NO_GUID:
		return IC_E_ABSENT;
	default:
		return IC_E_REFUSED;
	}
}

/* Return: whether the sizes that the guest wrote make sense. */
static bool kvp_value_text(const struct ic_kvp_item *item, char text[IC_KVP_VALUE_MAX])
{
	uint64_t number = 0;

	switch (item->type) {
	case IC_KVP_TEXT:
		if (item->value_size > sizeof(item->value))
			return false;
		utf16_to_utf8(text, IC_KVP_VALUE_MAX, item->value, item->value_size);
		return true;
	case IC_KVP_UINT32:
	case IC_KVP_UINT64:
		memcpy(&number, item->value, item->type);
		snprintf(text, IC_KVP_VALUE_MAX, "%" PRIu64, number);
		return true;
	default:
		return false;
	}
}

/* *ret_last: it is the one pair that was wanted. Return: 0; IC_E_INVALID. */
static int answered_enumerate(const struct kvp_operation *operation, const struct ic_kvp_item *item,
			      bool *ret_last)
{
	char key[IC_KVP_KEY_MAX], value[IC_KVP_VALUE_MAX];
	bool wanted = operation->key[0] != '\0';

	if (item->key_size > sizeof(item->key) || !kvp_value_text(item, value))
		return IC_E_INVALID;
	utf16_to_utf8(key, sizeof(key), item->key, item->key_size);
	if (wanted && strcmp(key, operation->key) != 0)
		return 0;
	if (operation->handler->pair)
		operation->handler->pair(operation->data, key, value);
	*ret_last = wanted;
	return 0;
}

static int answered_addresses(struct kvp_operation *operation,
			      const struct ic_kvp_address_body *answer)
{
	struct ic_kvp_addresses addresses = { .dhcp = answer->dhcp };

#define TEXT(member)                                                                          \
	utf16_to_utf8(addresses.member, sizeof(addresses.member),                             \
		      (const uint8_t *)answer + offsetof(struct ic_kvp_address_body, member), \
		      sizeof(answer->member))
	TEXT(addresses);
	TEXT(masks);
	TEXT(gateways);
	TEXT(name_servers);
#undef TEXT
	if (operation->handler->addresses)
		operation->handler->addresses(operation->data, &addresses);
	return 0;
}

/* What an operation makes of an answer. Return: whether it goes on, with its next request. */
static bool kvp_step(struct kvp_operation *operation, const void *body, size_t size, int *result)
{
	bool wanted = operation->key[0] != '\0', last = false;
	union {
		struct ic_kvp_body body;
		struct ic_kvp_address_body addresses;
	} answer;

	memset(&answer, 0, sizeof(answer));
	memcpy(&answer, body, MIN(size, sizeof(answer)));
	switch (operation->body.header.operation) {
	case IC_KVP_ENUMERATE:
		if (*result == 0)
			*result = answered_enumerate(operation, &answer.body.enumerate.item, &last);
		if (*result == 0 && !last && ++operation->body.enumerate.index < IC_KVP_PAIRS_MAX)
			return true;
		/* The end of the pool. */
		if (*result == IC_E_ABSENT || (*result == 0 && !last))
			*result = wanted ? IC_E_ABSENT : 0;
		return false;
	case IC_KVP_GET_ADDRESSES:
		if (*result == 0)
			*result = answered_addresses(operation, &answer.addresses);
		return false;
	case IC_KVP_SET:
		/* Linux says no more of a pool that it cannot write. */
		*result = *result == IC_E_ABSENT ? IC_E_REFUSED : *result;
		return false;
	default:
		return false;
	}
}

static void kvp_answered(struct ic_service *service, uint32_t status, const void *body, size_t size)
{
	struct ic_kvp *kvp = kvp_of(service);
	struct kvp_operation *operation = kvp_first(kvp);
	int result = kvp_result(status);

	if (kvp->orphaned) {
		kvp->orphaned = false;
		kvp_continue(kvp);
		return;
	}
	/* Until this one is dealt with, none that its callbacks append is begun. */
	kvp->starting = true;
	if (!kvp_step(operation, body, size, &result))
		kvp_finish(kvp, operation, result);
	kvp->starting = false;
	kvp_continue(kvp);
}

/* ---- The service ---- */

static void kvp_timer(struct ic_service *service)
{
	struct ic_kvp *kvp = kvp_of(service);
	struct kvp_operation *operation = kvp_first(kvp);

	if (kvp->orphaned) {
		kvp->orphaned = false;
		ic_service_forget_request(service);
		kvp_continue(kvp);
		return;
	}
	if (!operation) {
		kvp_refresh(kvp);
		return;
	}
	ic_service_forget_request(service);
	kvp->starting = true;
	kvp_finish(kvp, operation, IC_E_TIMEOUT);
	kvp->starting = false;
	kvp_continue(kvp);
}

static void kvp_connected(struct ic_service *service)
{
	struct ic_kvp *kvp = kvp_of(service);

	kvp->interval = kvp->options.soon_ns / 2;
	kvp_refresh(kvp);
}

static void kvp_disconnected(struct ic_service *service)
{
	static const struct ic_kvp_guest nothing;
	struct ic_kvp *kvp = kvp_of(service);
	struct kvp_operation *operation;

	kvp->orphaned = false;
	while ((operation = kvp_first(kvp)))
		kvp_finish(kvp, operation, IC_E_GONE);
	kvp_set_guest(kvp, &nothing);
}

/*
 * Nothing is saved but that a request is under way: the operations are those of others, who are not
 * here, and what the guest tells of itself it is asked again, by ic_kvp_refresh_soon().
 */
static int kvp_restore(struct ic_service *service, const void *from)
{
	struct ic_kvp *kvp = kvp_of(service);

	if (!ic_service_is_connected(service))
		return 0;
	if (service->waiting && service->remaining == IC_SERVICE_NO_TIMER)
		return STATE_E_INVALID;
	kvp->orphaned = service->waiting;
	kvp_start_interval(kvp, kvp->options.soon_ns);
	return 0;
}

static const struct ic_service_kind kvp_kind = {
	.name = "key-value pair service",
	.type = IC_KVP_TYPE,
	.instance = IC_KVP_INSTANCE,
	.message_type = IC_MESSAGE_KVP,
	.versions = kvp_versions,
	.version_count = ARRAY_SIZE(kvp_versions),
	.connected = kvp_connected,
	.answered = kvp_answered,
	.disconnected = kvp_disconnected,
	.timer = kvp_timer,
	.restore = kvp_restore,
};

int ic_kvp_new(struct vmbus *bus, const struct ic_kvp_options *options,
	       const struct ic_kvp_callbacks *callbacks, void *data, struct ic_kvp **ret_kvp)
{
	struct ic_kvp *kvp = calloc(1, sizeof(*kvp));
	int r;

	if (!kvp)
		return -ENOMEM;
	kvp->callbacks = callbacks;
	kvp->data = data;
	if (options)
		kvp->options = *options;
	if (!kvp->options.refresh_ns)
		kvp->options.refresh_ns = IC_KVP_REFRESH_NS;
	if (!kvp->options.timeout_ns)
		kvp->options.timeout_ns = IC_KVP_TIMEOUT_NS;
	if (!kvp->options.soon_ns)
		kvp->options.soon_ns = IC_KVP_SOON_NS;
	list_init(&kvp->operations);
	r = ic_service_offer(&kvp->service, &kvp_kind, bus);
	if (r < 0) {
		free(kvp);
		return r;
	}
	*ret_kvp = kvp;
	return 0;
}

void ic_kvp_free(struct ic_kvp *kvp)
{
	if (!kvp)
		return;
	ic_service_free(&kvp->service);
	free(kvp);
}

struct ic_service *ic_kvp_service(struct ic_kvp *kvp)
{
	return &kvp->service;
}

bool ic_kvp_is_connected(const struct ic_kvp *kvp)
{
	return ic_service_is_connected(&kvp->service);
}

const struct ic_kvp_guest *ic_kvp_guest(const struct ic_kvp *kvp)
{
	return &kvp->guest;
}

/* ---- Operations ---- */

static int kvp_new_operation(struct ic_kvp *kvp, enum ic_kvp_operation kind, enum ic_kvp_pool pool,
			     const struct ic_kvp_handler *handler, void *data,
			     struct kvp_operation **ret_operation)
{
	int r = kvp_append(kvp, handler, data, sizeof(struct ic_kvp_body), ret_operation);

	if (r < 0)
		return r;
	(*ret_operation)->body.header.operation = (uint8_t)kind;
	(*ret_operation)->body.header.pool = (uint8_t)pool;
	return 0;
}

static int kvp_start_item(struct ic_kvp *kvp, struct kvp_operation *operation, const char *key,
			  const char *value)
{
	struct ic_kvp_item *item = &operation->body.item;

	item->type = IC_KVP_TEXT;
	item->key_size = (uint32_t)utf16_from_utf8(item->key, sizeof(item->key), key);
	item->value_size = (uint32_t)utf16_from_utf8(item->value, sizeof(item->value), value);
	if (key[0] == '\0' || item->key_size == 0 || item->value_size == 0) {
		free(operation);
		return -EINVAL;
	}
	kvp_start(kvp, operation);
	return 0;
}

int ic_kvp_get(struct ic_kvp *kvp, enum ic_kvp_pool pool, const char *key,
	       const struct ic_kvp_handler *handler, void *data)
{
	uint8_t units[IC_KVP_KEY_SIZE];
	struct kvp_operation *operation;
	int r;

	if (key[0] == '\0' || utf16_from_utf8(units, sizeof(units), key) == 0)
		return -EINVAL;
	r = kvp_new_operation(kvp, IC_KVP_ENUMERATE, pool, handler, data, &operation);
	if (r < 0)
		return r;
	strcpy(operation->key, key);
	kvp_start(kvp, operation);
	return 0;
}

int ic_kvp_set(struct ic_kvp *kvp, enum ic_kvp_pool pool, const char *key, const char *value,
	       const struct ic_kvp_handler *handler, void *data)
{
	struct kvp_operation *operation;
	int r = kvp_new_operation(kvp, IC_KVP_SET, pool, handler, data, &operation);

	return r < 0 ? r : kvp_start_item(kvp, operation, key, value);
}

int ic_kvp_delete(struct ic_kvp *kvp, enum ic_kvp_pool pool, const char *key,
		  const struct ic_kvp_handler *handler, void *data)
{
	struct kvp_operation *operation;
	size_t size;
	int r = kvp_new_operation(kvp, IC_KVP_DELETE, pool, handler, data, &operation);

	if (r < 0)
		return r;
	size = utf16_from_utf8(operation->body.delete.key, sizeof(operation->body.delete.key), key);
	if (key[0] == '\0' || size == 0) {
		free(operation);
		return -EINVAL;
	}
	operation->body.delete.key_size = (uint32_t)size;
	kvp_start(kvp, operation);
	return 0;
}

int ic_kvp_enumerate(struct ic_kvp *kvp, enum ic_kvp_pool pool,
		     const struct ic_kvp_handler *handler, void *data)
{
	struct kvp_operation *operation;
	int r = kvp_new_operation(kvp, IC_KVP_ENUMERATE, pool, handler, data, &operation);

	if (r == 0)
		kvp_start(kvp, operation);
	return r;
}

/* In capitals: Linux' daemon compares it with the address of each interface in capitals. */
int ic_kvp_get_addresses(struct ic_kvp *kvp, const uint8_t mac[static 6],
			 const struct ic_kvp_handler *handler, void *data)
{
	struct kvp_operation *operation;
	struct ic_kvp_address_body *body;
	char text[sizeof("00:00:00:00:00:00")];
	int r;

	if (ic_kvp_is_connected(kvp) && !ic_service_has_version(&kvp->service, 4, 0))
		return -EOPNOTSUPP;
	r = kvp_append(kvp, handler, data, sizeof(*body), &operation);
	if (r < 0)
		return r;
	body = &operation->addresses;
	body->operation = IC_KVP_GET_ADDRESSES;
	body->family = IC_KVP_ADDRESS_IPV4 | IC_KVP_ADDRESS_IPV6;
	snprintf(text, sizeof(text), "%02X:%02X:%02X:%02X:%02X:%02X", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	for (size_t i = 0; i < sizeof(text); i++)
		body->adapter[i] = (uint8_t)text[i];
	kvp_start(kvp, operation);
	return 0;
}

struct json_object *ic_kvp_inspect(const struct ic_kvp *kvp)
{
	return ic_service_inspect(&kvp->service);
}
