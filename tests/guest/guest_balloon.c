/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: dynamic memory, as tests/guest/run_balloon has the host ask for it, until it asks the
 * guest to go down or to start anew.
 *
 * All RAM behind the image is filled with a pattern. Pages are handed over in pieces of some length
 * with pages between them that stay, so that what the host does to neighbours is seen; those that
 * come back have to be empty, and are filled again. In the end all pages that the guest has, and
 * always had, must hold the pattern. Parameters: old=1: the oldest version, and no memory is added.
 */
#include "guest-vsc/balloon_client.h"
#include "guest-vsc/ic_services.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

#define PAGE_SIZE      4096u
#define AREA_PAGES_MAX 65536u /* 256 MiB */
#define PIECE_MAX      100u   /* pages handed over that follow each other */
#define GAP_MAX        3u     /* pages that stay between them */
#define PAGES_PER_MIB  256u
#define SEED           7

/* What run_balloon looks for: the pages that the guest says it needs. */
#define COMMITTED (24 * PAGES_PER_MIB)

static struct balloon_client balloon;
static struct ic_heartbeat_client heartbeat;
static struct ic_shutdown_client shutdown;

static uint8_t rings[BALLOON_CLIENT_RING_PAGES + 2 * IC_CLIENT_RING_PAGES][RING_PAGE_SIZE]
	__attribute__((aligned(4096)));

/* Memory that the program does not lie in: the rest of the RAM, and what is added. */
static struct area {
	uint64_t first, count; /* frames; as many as the guest knows of */
	uint64_t next;         /* where pages are looked for that can be handed over */
	bool is_lent[AREA_PAGES_MAX];
} areas[2];

static uint64_t pages_had, pages_not_empty, pages_strange, gives, takes;

/* ---- Pages ---- */

static void fill_page(uint64_t frame)
{
	pattern_fill(machine_address(frame * PAGE_SIZE), PAGE_SIZE, SEED, frame * PAGE_SIZE);
}

static bool page_is_filled(uint64_t frame)
{
	return pattern_check(machine_address(frame * PAGE_SIZE), PAGE_SIZE, SEED,
			     frame * PAGE_SIZE) == PAGE_SIZE;
}

static bool page_is_empty(uint64_t frame)
{
	const uint64_t *words = machine_address(frame * PAGE_SIZE);

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		if (words[i])
			return false;
	return true;
}

/* They are the guest's from here on. */
static void have_pages(uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++) {
		pages_not_empty += !page_is_empty(i);
		fill_page(i);
	}
	pages_had += count;
}

/* ---- What the balloon client asks ---- */

static uint64_t take_from(struct area *area, uint64_t wanted, uint64_t *ret_first)
{
	uint64_t most = MIN(wanted, 1 + pattern_random(PIECE_MAX)), count = 0;
	uint64_t at = area->next;

	while (at < area->count && area->is_lent[at])
		at++;
	while (count < most && at + count < area->count && !area->is_lent[at + count])
		area->is_lent[at + count++] = true;
	area->next = at + count + pattern_random(GAP_MAX + 1);
	*ret_first = area->first + at;
	return count;
}

static uint64_t take(void *data, uint64_t wanted, uint64_t *ret_first)
{
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		uint64_t count = take_from(&areas[i], wanted, ret_first);

		pages_had -= count;
		takes += count > 0;
		if (count)
			return count;
	}
	return 0;
}

static struct area *find_area(uint64_t frame)
{
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		if (frame - areas[i].first < areas[i].count)
			return &areas[i];
	return NULL;
}

static void give(void *data, uint64_t first, uint64_t count)
{
	struct area *area = find_area(first);

	gives++;
	if (!area || !find_area(first + count - 1)) {
		pages_strange += count;
		return;
	}
	for (uint64_t i = first - area->first; i < first - area->first + count; i++)
		area->is_lent[i] = false;
	area->next = MIN(area->next, first - area->first);
	have_pages(first, count);
}

/* What is added lies in one GiB, and has no gaps. */
static uint64_t add(void *data, uint64_t first, uint64_t count)
{
	struct area *area = &areas[1];

	if (!area->count) {
		area->first = first;
		machine_map_memory(first * PAGE_SIZE);
	}
	if (first != area->first + area->count || count > AREA_PAGES_MAX - area->count)
		return 0;
	area->count += count;
	have_pages(first, count);
	return count;
}

static struct balloon_client_needs needs(void *data)
{
	return (struct balloon_client_needs){
		.available = pages_had,
		.committed = COMMITTED,
		.free = pages_had,
	};
}

/* ---- The program ---- */

static void fill_memory(void)
{
	struct area *area = &areas[0];
	uint64_t end = machine_ram_end() / PAGE_SIZE;

	area->first = machine_gpa(machine_image_end) / PAGE_SIZE;
	area->count = MIN(end - area->first, AREA_PAGES_MAX);
	pages_had = area->count;
	for (uint64_t i = area->first; i < area->first + area->count; i++)
		fill_page(i);
}

static struct client_channel_memory ring_at(unsigned first, unsigned pages)
{
	return (struct client_channel_memory){ .address = rings[first], .pages = pages };
}

static bool open_clients(bool old)
{
	static const struct balloon_client_memory memory = {
		.take = take,
		.give = give,
		.add = add,
		.needs = needs,
	};
	const struct balloon_client_options options = {
		.memory = &memory,
		.newest = old ? DM_VERSION_0_3 : UINT32_MAX,
		.capabilities = DM_CAPABILITY_BALLOON |
				(old ? 0 : DM_CAPABILITY_HOT_ADD | 1 << 2 /* units of 2 MiB */),
	};
	unsigned at = BALLOON_CLIENT_RING_PAGES;

	return report_code(balloon_client_open(&balloon, &rig.bus, &options,
					       ring_at(0, BALLOON_CLIENT_RING_PAGES)),
			   "dynamic memory opens") &&
	       report_code(ic_client_open(&heartbeat.ic, &ic_heartbeat_client_kind, &rig.bus,
					  IC_CLIENT_NEWEST, ring_at(at, IC_CLIENT_RING_PAGES)),
			   "heartbeat opens") &&
	       report_code(ic_client_open(&shutdown.ic, &ic_shutdown_client_kind, &rig.bus,
					  IC_CLIENT_NEWEST,
					  ring_at(at + IC_CLIENT_RING_PAGES, IC_CLIENT_RING_PAGES)),
			   "shutdown opens");
}

/* The host's beats make sure that reports are sent while nothing else happens. */
static void serve(void)
{
	struct client_channel *channels[] = { &balloon.channel, &heartbeat.ic.channel,
					      &shutdown.ic.channel };
	int r = balloon_client_poll(&balloon);

	while (!r && !shutdown.asked) {
		client_channel_wait_any(channels, ARRAY_SIZE(channels));
		r = balloon_client_poll(&balloon);
		if (ic_client_poll(&heartbeat.ic) || ic_client_poll(&shutdown.ic))
			r = BALLOON_CLIENT_E_RING;
	}
	report_code(r, "the host asks for what it may");
}

static void check_memory(bool old)
{
	uint64_t wrong = 0, lent = 0;

	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		for (uint64_t j = 0; j < areas[i].count; j++) {
			lent += areas[i].is_lent[j];
			wrong += !areas[i].is_lent[j] && !page_is_filled(areas[i].first + j);
		}
	report(wrong == 0, "pages that the guest has are as it left them", "%lu are not", wrong);
	report(pages_not_empty == 0, "pages that come to the guest are empty", "%lu are not",
	       pages_not_empty);
	report(pages_strange == 0, "pages that come back are the guest's", "%lu are not",
	       pages_strange);
	report(lent == balloon.ballooned, "the balloon holds what was handed over", "%lu, not %lu",
	       balloon.ballooned, lent);
	report(balloon.version == (old ? DM_VERSION_0_3 : DM_VERSION_2_0), "the version is right",
	       "0x%x", balloon.version);
	report((balloon.maximum_pages != 0) == !old, "the host tells newer guests of the maximum",
	       "%lu pages", balloon.maximum_pages);
	report(balloon.unknown == 0, "the host sends what is known", "%lu others", balloon.unknown);
	report_note("%lu pieces handed over in %lu messages, %lu came back, %lu MiB added", takes,
		    balloon.responses, gives, areas[1].count / PAGES_PER_MIB);
}

void guest_main(void)
{
	bool old = machine_parameter("old", 0);

	fill_memory();
	if (rig_enable() && rig_connect(UINT32_MAX) && open_clients(old)) {
		serve();
		check_memory(old);
		report(rig_unload(), "the guest leaves the host", "it cannot");
	}
	report_done();
	if (shutdown.asked == IC_SHUTDOWN_CLIENT_RESTART)
		machine_restart();
}
