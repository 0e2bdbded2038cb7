/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest may answer the integration services.
 *
 * Input: a byte that chooses the service, then what happens: a byte that says whether the host asks
 * something (and what), then an answer: a byte of how, a length, and bytes. An answer is the
 * fuzzer's own, or the host's last message with some bytes changed.
 */
#include "common/base/text.h"
#include "tests/fake/ic_guest.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_file_copy.h"
#include "vsp/ic/ic_kvp.h"
#include "vsp/ic/ic_time.h"
#include "vsp/ic/ic_vss.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct input {
	const uint8_t *bytes;
	size_t size;
};

static struct fake *fake;
static struct ic_shutdown *shutdown_service;
static struct ic_heartbeat *heartbeat;
static struct ic_time *time_service;
static struct ic_kvp *kvp;
static struct ic_vss *vss;
static struct ic_file_copy *file_copy;
static int source;
static unsigned asked, answered;

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0 && input->size > 0) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

/* ---- What the services tell ---- */

static void heartbeat_changed(void *data, enum ic_heartbeat_status status,
			      enum ic_application_state application)
{
	assert(ic_heartbeat_status_name(status));
	assert(application <= IC_APPLICATION_STOPPED);
}

static void check_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	assert(length < size && text_is_utf8(text, length));
}

static void guest_told(void *data, const struct ic_kvp_guest *guest)
{
	check_text(guest->host_name, sizeof(guest->host_name));
	check_text(guest->os_name, sizeof(guest->os_name));
	check_text(guest->ipv4, sizeof(guest->ipv4));
}

static void thawed(void *data, int result)
{
	assert(ic_vss_state(vss) == IC_VSS_RUNNING);
}

static void done(void *data, int result)
{
	answered++;
	assert(answered <= asked);
}

static void pair(void *data, const char *key, const char *value)
{
	check_text(key, IC_KVP_KEY_MAX);
	check_text(value, IC_KVP_VALUE_MAX);
}

static void addresses(void *data, const struct ic_kvp_addresses *told)
{
	check_text(told->addresses, sizeof(told->addresses));
	check_text(told->gateways, sizeof(told->gateways));
}

static void progress(void *data, uint64_t copied, uint64_t size)
{
	assert(copied <= size);
}

/* ---- What they are asked ---- */

static bool ask_shutdown(uint8_t what)
{
	enum ic_shutdown_action action = what & 1   ? IC_SHUTDOWN_ACTION_REBOOT
					 : what & 4 ? IC_SHUTDOWN_ACTION_HIBERNATE
						    : IC_SHUTDOWN_ACTION_POWER_OFF;

	return ic_shutdown_request(shutdown_service, action, what & 2, done, NULL) == 0;
}

static bool ask_nothing(uint8_t what)
{
	return false;
}

static bool ask_time(uint8_t what)
{
	ic_time_pause(time_service);
	ic_time_resume(time_service);
	return false;
}

static bool ask_kvp(uint8_t what)
{
	static const struct ic_kvp_handler handler = { pair, addresses, done };

	switch (what % 5) {
	case 0:
		return ic_kvp_get(kvp, IC_KVP_POOL_GUEST, "key", &handler, NULL) == 0;
	case 1:
		return ic_kvp_set(kvp, IC_KVP_POOL_EXTERNAL, "key", "value", &handler, NULL) == 0;
	case 2:
		return ic_kvp_delete(kvp, IC_KVP_POOL_EXTERNAL, "key", &handler, NULL) == 0;
	case 3:
		return ic_kvp_enumerate(kvp, IC_KVP_POOL_GUEST, &handler, NULL) == 0;
	default:
		return ic_kvp_get_addresses(kvp, (uint8_t[6]){ 0x02 }, &handler, NULL) == 0;
	}
}

static bool ask_vss(uint8_t what)
{
	return (what & 1 ? ic_vss_thaw(vss, done, NULL)
			 : ic_vss_freeze(vss, what & 2 ? 1 : 1000000000, done, NULL)) == 0;
}

static void copied(void *data, int result, bool left)
{
	assert(result || !left);
	done(data, result);
}

static bool ask_file_copy(uint8_t what)
{
	static const struct ic_file_copy_callbacks callbacks = { progress, copied };
	const struct ic_file_copy_options options = { .path = "/tmp/x", .overwrite = what & 2 };
	int fd;

	if (what & 1) {
		ic_file_copy_cancel(file_copy);
		return false;
	}
	fd = dup(source);
	if (ic_file_copy_start(file_copy, fd, &options, &callbacks, NULL) == 0)
		return true;
	close(fd);
	return false;
}

static const struct {
	struct guid type;
	bool (*ask)(uint8_t what); /* whether done() will be called */
} services[] = {
	{ IC_SHUTDOWN_TYPE, ask_shutdown }, { IC_HEARTBEAT_TYPE, ask_nothing },
	{ IC_TIME_TYPE, ask_time },         { IC_KVP_TYPE, ask_kvp },
	{ IC_VSS_TYPE, ask_vss },           { IC_FILE_COPY_TYPE, ask_file_copy },
};

/* ---- What they are answered ---- */

static void answer(struct input *input, struct fake_channel *channel)
{
	static uint8_t message[8192];
	struct ring_packet packet;
	uint8_t how = (uint8_t)take(input, 1);
	uint32_t size = take(input, 1);

	if (how % 2 && fake_receive_now(channel, &packet) &&
	    packet.payload_size <= sizeof(message)) {
		uint32_t changes = how / 2 % 8;

		memcpy(message, packet.payload, packet.payload_size);
		message[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE; /* the header's flags */
		while (changes-- > 0) {
			uint32_t place = take(input, 1);

			message[place] = (uint8_t)take(input, 1);
		}
		size = how & 0x80 ? packet.payload_size : size;
	} else {
		for (uint32_t i = 0; i < size; i++)
			message[i] = (uint8_t)take(input, 1);
	}
	fake_send(channel, how & 0x40 ? RING_PACKET_COMPLETION : RING_PACKET_INBAND, 0, 0, message,
		  size);
	fake_run(fake);
}

static void make_services(void)
{
	static const struct ic_heartbeat_callbacks heartbeat_callbacks = { heartbeat_changed };
	static const struct ic_kvp_callbacks kvp_callbacks = { .guest = guest_told };
	static const struct ic_vss_callbacks vss_callbacks = { thawed };
	static const struct ic_kvp_options kvp_options = { .refresh_ns = 1000 };

	fake = fake_new(1, 64 * HV_PAGE_SIZE);
	source = memfd_create("source", MFD_CLOEXEC);
	if (source < 0 || ftruncate(source, 10000) < 0 ||
	    ic_shutdown_new(fake->bus, &shutdown_service) ||
	    ic_heartbeat_new(fake->bus, 1000, &heartbeat_callbacks, NULL, &heartbeat) ||
	    ic_time_new(fake->bus, 1000, &time_service) ||
	    ic_kvp_new(fake->bus, &kvp_options, &kvp_callbacks, NULL, &kvp) ||
	    ic_vss_new(fake->bus, NULL, &vss_callbacks, NULL, &vss) ||
	    ic_file_copy_new(fake->bus, 0, &file_copy))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_channel channel;
	struct input input = { .bytes = data, .size = size };
	size_t service = take(&input, 1) % ARRAY_SIZE(services);
	bool ok;

	if (!fake)
		make_services();
	fake_choose_waits(fake, data, size);
	asked = answered = 0;
	ok = fake_connect(fake, VMBUS_VERSION_5_3) && fake_request_offers(fake) &&
	     fake_open(fake, fake_find_offer(fake, &services[service].type, NULL, 0), 4, 4, 0,
		       &channel) == 0;
	assert(ok);
	fake_run(fake);
	while (input.size > 0) {
		uint8_t what = (uint8_t)take(&input, 1);

		/* Counted before: done() may be called while it is asked. */
		asked++;
		if (what % 4 != 0 || !services[service].ask(what / 4))
			asked--;
		answer(&input, &channel);
	}
	fake_stop(fake);
	assert(asked == answered);
	fake->ram_used = HV_PAGE_SIZE;
	memset(fake->ram, 0, fake->ram_size);
	return 0;
}
