/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: the integration services, as the host's side of tests/guest/run_integration uses
 * them, until it asks the guest to go down or to start anew.
 *
 * The guest says what it sees in its own pool of key-value pairs: "work" counts on with whatever
 * happens, and stands still while the guest is frozen, "time" is its time of day in seconds from
 * 1970 on, "syncs" and "samples" count what it was told of that, "copies" and "cancels" the files
 * that were copied to it, or not; "file" is the size and the checksum of the last. The host is to
 * set "greeting" before it ends the guest. Parameters: old=1: the oldest versions of everything,
 * and for snapshots one that no host has; restless=1: the guest refuses to be frozen, and has no
 * room for files.
 */
#include "guest-vsc/ic_file_copy_client.h"
#include "guest-vsc/ic_kvp_client.h"
#include "guest-vsc/ic_services.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/text.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

#define TICKS_PER_SECOND 10000000u
#define DEVIATION_MAX    (10 * TICKS_PER_SECOND)

/* As run_integration knows them. */
#define FOLDER    "/files/"
#define FILE_ROOM (320 * 1024)

static struct ic_heartbeat_client heartbeat;
static struct ic_shutdown_client shutdown;
static struct ic_time_client time;
static struct ic_vss_client vss;
static struct ic_kvp_client kvp;
static struct ic_file_copy_client file_copy;

/* File copy is the last to be polled: what came of it is told before key-value pairs are again. */
static const struct service {
	const char *name;
	struct ic_client *client;
	const struct ic_client_kind *kind;
	struct ic_version oldest; /* with old=1 */
} services[] = {
	{ "heartbeat", &heartbeat.ic, &ic_heartbeat_client_kind, { 1, 0 } },
	{ "shutdown", &shutdown.ic, &ic_shutdown_client_kind, { 1, 0 } },
	{ "time", &time.ic, &ic_time_client_kind, { 1, 0 } },
	{ "vss", &vss.ic, &ic_vss_client_kind, { 0, 0 } },
	{ "kvp", &kvp.ic, &ic_kvp_client_kind, { 3, 0 } },
	{ "file copy", &file_copy.ic, &ic_file_copy_client_kind, { 1, 0 } },
};

static uint8_t rings[ARRAY_SIZE(services)][IC_CLIENT_RING_PAGES][RING_PAGE_SIZE]
	__attribute__((aligned(4096)));
static uint8_t file_memory[FILE_ROOM];

/* ---- What the guest says ---- */

static bool say(enum ic_kvp_pool pool, const char *key, const char *value)
{
	return ic_kvp_client_set(&kvp, pool, key, value);
}

static bool say_number(const char *key, uint64_t number)
{
	char text[24];

	text_format(text, sizeof(text), "%lu", number);
	return say(IC_KVP_POOL_GUEST, key, text);
}

static bool say_names(void)
{
	return say(IC_KVP_POOL_AUTO, "FullyQualifiedDomainName", "guest.example") &&
	       say(IC_KVP_POOL_AUTO, "OSName", "vmms test guest") &&
	       say(IC_KVP_POOL_AUTO, "OSVersion", "1.0");
}

static bool say_counters(uint64_t work)
{
	uint64_t now = ic_time_client_now(&time);

	return say_number("work", work) && say_number("syncs", time.syncs) &&
	       say_number("samples", time.samples) &&
	       say_number("time", now ? (now - IC_TIME_UNIX_EPOCH) / TICKS_PER_SECOND : 0);
}

/* Once for each file that has come or gone: the checksum takes a while. */
static bool say_file(void)
{
	static uint64_t copies, cancels;
	char text[32] = "none";

	if (file_copy.copies == copies && file_copy.cancels == cancels)
		return true;
	copies = file_copy.copies;
	cancels = file_copy.cancels;
	if (file_copy.state == IC_FILE_COPY_CLIENT_WHOLE)
		text_format(text, sizeof(text), "%lu 0x%08x", file_copy.size,
			    ic_file_copy_client_checksum(&file_copy));
	return say(IC_KVP_POOL_GUEST, "file", text) && say_number("copies", copies) &&
	       say_number("cancels", cancels);
}

/* ---- The services ---- */

static bool open_services(bool old)
{
	bool good = true;

	for (size_t i = 0; good && i < ARRAY_SIZE(services); i++) {
		const struct service *service = &services[i];
		const struct client_channel_memory memory = {
			.address = rings[i],
			.pages = IC_CLIENT_RING_PAGES,
		};

		good = report_code(ic_client_open(service->client, service->kind, &rig.bus,
						  old ? service->oldest : IC_CLIENT_NEWEST, memory),
				   service->name);
	}
	heartbeat.application = IC_APPLICATION_HEALTHY;
	vss.restless = machine_parameter("restless", 0);
	file_copy.memory = file_memory;
	file_copy.room = vss.restless ? 0 : FILE_ROOM;
	file_copy.folder = FOLDER;
	return good;
}

static bool poll_services(void)
{
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		if (ic_client_poll(services[i].client))
			good = report(false, services[i].name, "the ring is broken");
	return good && (say_file() || report(false, "the guest tells of its file", "no room"));
}

/* The host's beats see to it that this goes on, whatever else it does. */
static void serve(void)
{
	struct client_channel *channels[ARRAY_SIZE(services)];
	bool good = say_names();
	uint64_t work = 0;

	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		channels[i] = &services[i].client->channel;
	while (good && !shutdown.asked) {
		client_channel_wait_any(channels, ARRAY_SIZE(channels));
		work += !vss.frozen;
		good = say_counters(work) || report(false, "the guest tells of itself", "no room");
		good = good && poll_services();
	}
}

/* ---- What came of it ---- */

static bool versions_are_equal(struct ic_version a, struct ic_version b)
{
	return a.major == b.major && a.minor == b.minor;
}

static void check_service(const struct service *service, bool old)
{
	struct ic_version expected = old ? service->oldest : service->kind->versions[0];
	const struct ic_client *client = service->client;

	report(versions_are_equal(client->version, expected), service->name, "version %u.%u",
	       client->version.major, client->version.minor);
	report(client->strays == 0 && client->lost == 0, service->name,
	       "%lu strays, %lu answers were lost", client->strays, client->lost);
}

static void check_services(bool old)
{
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		check_service(&services[i], old);
	report(heartbeat.sequence > 0, "the host's heart beats", "it does not");
	report(time.syncs > 0, "the host has the clock set", "it does not");
	if (!old)
		report(time.deviation < DEVIATION_MAX,
		       "what the host says of the time fits together", "%lu units of 100 ns apart",
		       time.deviation);
	report(ic_kvp_client_has(&kvp, IC_KVP_POOL_EXTERNAL, "greeting", "hello, guest"),
	       "the host's value has arrived", "it is not there");
	report(!vss.frozen && vss.freezes == vss.thaws, "nothing is frozen any more",
	       "%lu freezes, %lu thaws", vss.freezes, vss.thaws);
	report_note("%lu requests for key-value pairs, %lu syncs, %lu samples, apart by %lu us",
		    kvp.ic.requests, time.syncs, time.samples, time.deviation / 10);
}

void guest_main(void)
{
	bool old = machine_parameter("old", 0);

	if (rig_enable() && rig_connect(UINT32_MAX) && open_services(old)) {
		serve();
		check_services(old);
		report(rig_unload(), "the guest leaves the host", "it cannot");
	}
	report_done();
	if (shutdown.asked == IC_SHUTDOWN_CLIENT_RESTART)
		machine_restart();
}
