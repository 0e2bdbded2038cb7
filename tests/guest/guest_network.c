/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: a network adapter, with the peer that tests/guest/run_network is, until that asks the
 * guest to go down.
 *
 * The guest answers ARP requests for its address, and sends each UDP datagram back to where it came
 * from, each in another way: out of the send buffer, out of its own pages, out of both. A
 * datagram's data are a function of their length and first word, which the guest checks. It says of
 * its link in its pool of key-value pairs. Parameters: old=1: the oldest version; large=1: frames
 * of 9014 bytes; sub_channels=1: two channels, and frames by both, in and out.
 */
#include "guest-vsc/ic_kvp_client.h"
#include "guest-vsc/ic_services.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/netvsc_client.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"
#include "tests/guest/rig.h"

#define PAGE_SIZE     4096u
#define BUFFERS       48
#define BUFFER_SIZE   (NETVSC_CLIENT_FRAME_MAX + PAGE_SIZE)
#define RECEIVE_SIZE  (1u << 20)
#define SEND_SIZE     (512u << 10)
#define MTU           1500
#define MTU_LARGE     9000
#define FRAME_UDP_MIN 42

/* Offsets in a frame, and what is there, in network byte order. */
#define AT_TYPE       12
#define AT_ARP_KIND   20
#define AT_ARP_SENDER 22
#define AT_ARP_TARGET 32
#define AT_IP_KIND    23
#define AT_IP_SOURCE  26
#define AT_IP_TARGET  30
#define AT_UDP        34
#define AT_UDP_SIZE   38

static const uint8_t mac_expected[] = { 0x02, 0x56, 0x4d, 0x01, 0x02, 0x03 };
static const uint8_t address[] = { 192, 0, 2, 7 };
static const uint8_t type_arp[] = { 8, 6 }, type_ip[] = { 8, 0 };
static const uint8_t arp_request[] = { 0, 1 }, arp_reply[] = { 0, 2 };
#define IP_UDP 17

static struct netvsc_client net;
static struct ic_heartbeat_client heartbeat;
static struct ic_shutdown_client shutdown;
static struct ic_kvp_client kvp;

static const struct {
	struct ic_client *client;
	const struct ic_client_kind *kind;
} services[] = {
	{ &heartbeat.ic, &ic_heartbeat_client_kind },
	{ &shutdown.ic, &ic_shutdown_client_kind },
	{ &kvp.ic, &ic_kvp_client_kind },
};

static uint8_t rings[ARRAY_SIZE(services)][IC_CLIENT_RING_PAGES][RING_PAGE_SIZE]
	__attribute__((aligned(4096)));
static uint8_t receive_buffer[RECEIVE_SIZE] __attribute__((aligned(4096)));
static uint8_t send_buffer[SEND_SIZE] __attribute__((aligned(4096)));

/* Answers, at all kinds of places in their pages. */
static struct {
	uint8_t *frame;
	uint32_t size;
	bool busy, waiting; /* used; not sent yet */
} answers[BUFFERS];
static uint8_t buffers[BUFFERS][BUFFER_SIZE] __attribute__((aligned(4096)));

static uint64_t requests, datagrams, wrong, others, dropped, ways[NETVSC_CLIENT_WAYS];
static unsigned next_answer, next_send;

/* ---- Answers ---- */

/* In the order in which they came. Return: NULL: the peer sends faster than the host takes. */
static uint8_t *new_answer(const uint8_t *frame, uint32_t size)
{
	unsigned i = next_answer % BUFFERS;

	if (answers[i].busy) {
		dropped++;
		return NULL;
	}
	next_answer++;
	answers[i].frame = buffers[i] + pattern_random(PAGE_SIZE);
	answers[i].size = size;
	answers[i].busy = answers[i].waiting = true;
	memcpy(answers[i].frame, frame, size);
	return answers[i].frame;
}

static void swap(uint8_t *a, uint8_t *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

static void answer_addresses(uint8_t *frame)
{
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, mac_expected, 6);
}

static void take_arp(const uint8_t *frame, uint32_t size)
{
	uint8_t *answer;

	if (memcmp(frame + AT_ARP_KIND, arp_request, 2) != 0 ||
	    memcmp(frame + AT_ARP_TARGET + 6, address, 4) != 0) {
		others++;
		return;
	}
	requests++;
	answer = new_answer(frame, size);
	if (!answer)
		return;
	answer_addresses(answer);
	memcpy(answer + AT_ARP_KIND, arp_reply, 2);
	swap(answer + AT_ARP_SENDER, answer + AT_ARP_TARGET, 10);
	memcpy(answer + AT_ARP_SENDER, mac_expected, 6);
}

/* Byte i is the low byte of seed + i * 7; the seed is the first 4 bytes. */
static bool data_are_right(const uint8_t *data, uint32_t size)
{
	uint32_t seed;

	if (size < sizeof(seed))
		return true;
	memcpy(&seed, data, sizeof(seed));
	for (uint32_t i = sizeof(seed); i < size; i++)
		if (data[i] != (uint8_t)(seed + i * 7))
			return false;
	return true;
}

/* Sums over IP header and pseudo-header stay what they are when both ends change places. */
static void take_datagram(const uint8_t *frame, uint32_t size)
{
	uint32_t length = (uint32_t)frame[AT_UDP_SIZE] << 8 | frame[AT_UDP_SIZE + 1];
	uint8_t *answer;

	datagrams++;
	if (length < 8 || AT_UDP + length > size ||
	    !data_are_right(frame + FRAME_UDP_MIN, length - 8)) {
		wrong++;
		return;
	}
	answer = new_answer(frame, size);
	if (!answer)
		return;
	answer_addresses(answer);
	swap(answer + AT_IP_SOURCE, answer + AT_IP_TARGET, 4);
	swap(answer + AT_UDP, answer + AT_UDP + 2, 2);
}

static bool is_for_us(const uint8_t *frame)
{
	static const uint8_t everybody[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return memcmp(frame, mac_expected, 6) == 0 || memcmp(frame, everybody, 6) == 0;
}

static void received(void *data, const uint8_t *frame, uint32_t size)
{
	if (size >= FRAME_UDP_MIN && !is_for_us(frame))
		others++;
	else if (size >= FRAME_UDP_MIN && memcmp(frame + AT_TYPE, type_arp, 2) == 0)
		take_arp(frame, size);
	else if (size >= FRAME_UDP_MIN && memcmp(frame + AT_TYPE, type_ip, 2) == 0 &&
		 frame[AT_IP_KIND] == IP_UDP && memcmp(frame + AT_IP_TARGET, address, 4) == 0)
		take_datagram(frame, size);
	else
		others++;
}

static void sent(void *data, const uint8_t *frame, bool accepted)
{
	for (unsigned i = 0; i < BUFFERS; i++)
		if (answers[i].busy && answers[i].frame == frame)
			answers[i].busy = false;
}

/* Return: false: the channel failed. */
static bool send_answers(void)
{
	for (; answers[next_send % BUFFERS].waiting; next_send++) {
		unsigned i = next_send % BUFFERS;
		enum netvsc_client_way way = next_send % NETVSC_CLIENT_WAYS;
		int r = netvsc_client_send(&net, answers[i].frame, answers[i].size, way);

		if (r == NETVSC_CLIENT_E_TOO_BIG) {
			way = NETVSC_CLIENT_BY_PAGES;
			r = netvsc_client_send(&net, answers[i].frame, answers[i].size, way);
		}
		if (r == NETVSC_CLIENT_E_FULL)
			return true;
		if (r)
			return report_code(r, "frames can be sent");
		answers[i].waiting = false;
		ways[way]++;
	}
	return true;
}

/* ---- The program ---- */

static bool open_services(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		const struct client_channel_memory memory = { rings[i], IC_CLIENT_RING_PAGES };

		if (!report_code(ic_client_open(services[i].client, services[i].kind, &rig.bus,
						IC_CLIENT_NEWEST, memory),
				 "a service opens"))
			return false;
	}
	return true;
}

static bool open_adapter(bool old, bool large)
{
	const struct netvsc_client_options options = {
		.newest = old ? NVSP_VERSION_1 : UINT32_MAX,
		.mtu = large ? MTU_LARGE : MTU,
		.received = received,
		.sent = sent,
	};
	const struct netvsc_client_memory memory = {
		.rings = rig_ring(0),
		.receive = receive_buffer,
		.receive_size = sizeof(receive_buffer),
		.send = send_buffer,
		.send_size = sizeof(send_buffer),
	};
	uint32_t filter = NDIS_PACKET_DIRECTED | NDIS_PACKET_BROADCAST, mtu = 0, size = sizeof(mtu);
	uint8_t mac[8];
	uint32_t mac_size = sizeof(mac);

	if (!report_code(netvsc_client_open(&net, &rig.bus, &options, &memory),
			 "the adapter opens"))
		return false;
	report(net.version == (old ? NVSP_VERSION_1 : NVSP_VERSION_6_1), "the version is right",
	       "0x%x", net.version);
	report_code(netvsc_client_query(&net, OID_802_3_PERMANENT_ADDRESS, mac, &mac_size),
		    "the adapter knows its address");
	report(mac_size == 6 && memcmp(mac, mac_expected, 6) == 0, "the address is right",
	       "%u bytes, %02x:%02x", mac_size, mac[0], mac[5]);
	report_code(netvsc_client_query(&net, OID_GEN_MAXIMUM_FRAME_SIZE, &mtu, &size),
		    "the adapter knows its frames' size");
	report(mtu == options.mtu, "the size is right", "%u bytes", mtu);
	size = sizeof(mtu);
	report(netvsc_client_query(&net, 0x7f7f7f7f, &mtu, &size) == NETVSC_CLIENT_E_REFUSED &&
		       net.status == RNDIS_STATUS_NOT_SUPPORTED,
	       "what no adapter knows is refused", "status 0x%x", net.status);
	report(net.link_up, "the link is up", "it is down");
	return report_code(
		netvsc_client_set(&net, OID_GEN_CURRENT_PACKET_FILTER, &filter, sizeof(filter)),
		"a filter can be set");
}

static bool add_channel(void)
{
	const struct client_channel_memory memory = rig_ring(1);

	return report_code(netvsc_client_add_channels(&net, 1, &memory), "a sub-channel opens") &&
	       report(net.channel_count == 2, "there are two channels", "%u", net.channel_count);
}

/* The host's beats wake it, should all else be still. */
static void serve(void)
{
	struct client_channel *channels[ARRAY_SIZE(services) + NETVSC_CLIENT_CHANNELS_MAX];
	size_t count = 0;
	bool good = true;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		channels[count++] = &services[i].client->channel;
	for (unsigned i = 0; i < net.channel_count; i++)
		channels[count++] = &net.channels[i];
	while (good && !shutdown.asked) {
		good = ic_kvp_client_set(&kvp, IC_KVP_POOL_GUEST, "link",
					 net.link_up ? "up" : "down");
		for (size_t i = 0; good && i < ARRAY_SIZE(services); i++)
			good = ic_client_poll(services[i].client) == 0;
		r = netvsc_client_poll(&net);
		if (r)
			good = report_code(r, "the host sends what it may");
		good = good && send_answers();
		netvsc_client_flush(&net);
		if (good)
			client_channel_wait_any(channels, count);
	}
}

static void check_end(void)
{
	report(wrong == 0 && datagrams > 0, "datagrams come as they were sent", "%lu of %lu do not",
	       wrong, datagrams);
	report(dropped == 0, "there was room for all answers", "not for %lu", dropped);
	report(requests > 0, "somebody asked for the address", "nobody did");
	report(net.frames_refused == 0 && net.free_count > 0, "the host took all frames",
	       "not %lu of %lu", net.frames_refused, net.frames_sent);
	for (unsigned i = 0; i < NETVSC_CLIENT_WAYS; i++)
		report(ways[i] > 0, "frames were sent in every way", "none by way %u", i);
	for (unsigned i = 0; i < net.channel_count; i++)
		report(net.received_by[i] > 0 && net.sent_by[i] > 0, "every channel had frames",
		       "%u had %lu in, %lu out", i, net.received_by[i], net.sent_by[i]);
	report(net.strays == 0, "the host sent what is known", "not %lu times", net.strays);
	report(net.links_down == 1 && net.links_up == 1 && net.link_up,
	       "the link went and came back", "%lu times, %lu times", net.links_down, net.links_up);
	report_note("%lu datagrams, %lu by section, %lu by pages, %lu by both; %lu other frames",
		    datagrams, ways[0], ways[1], ways[2], others);
}

void guest_main(void)
{
	bool old = machine_parameter("old", 0), large = machine_parameter("large", 0);
	bool sub_channels = machine_parameter("sub_channels", 0);

	if (rig_enable() && rig_connect(UINT32_MAX) && open_services() &&
	    open_adapter(old, large) && (!sub_channels || add_channel())) {
		serve();
		check_end();
		report_code(netvsc_client_close(&net), "the adapter closes");
		report(rig_unload(), "the guest leaves the host", "it cannot");
	}
	report_done();
}
