/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Synthetic video for the firmware. common/wire/video.h has the order of messages. */
#include "guest-vsc/uefi/efi_video.h"

#include "common/wire/video.h"
#include "guest-vsc/client_channel.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/uefi/efi.h"

#define RING_PAGES   16 /* of both rings */
#define TIMEOUT      (5 * CLOCK_SECOND)
#define MESSAGE_SIZE 512
#define DEPTH        32
#define HEADER_SIZE  (sizeof(struct video_header) - sizeof(struct video_pipe_header))

static const struct guid video_type = VIDEO_TYPE;

static struct {
	uint64_t rings; /* 0: not allocated */
	struct client_channel channel;
	uint64_t message[MESSAGE_SIZE / sizeof(uint64_t)]; /* the last that came */
} video;

static bool send(enum video_message_type type, const void *body, uint32_t size)
{
	struct {
		struct video_header header;
		uint8_t body[64];
	} message = {
		.header = { .pipe = { VIDEO_PIPE_DATA, (uint32_t)HEADER_SIZE + size },
			    .type = type,
			    .size = (uint32_t)HEADER_SIZE + size },
	};
	const struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.payload = &message,
		.payload_size = (uint32_t)sizeof(message.header) + size,
	};

	memcpy(message.body, body, size);
	if (client_channel_send(&video.channel, &packet))
		return false;
	client_channel_flush(&video.channel);
	return true;
}

/* Messages of other types are none that anybody waits for. NULL: it did not come. */
static const void *await(enum video_message_type type, uint32_t size)
{
	uint64_t deadline = clock_now() + TIMEOUT;
	struct video_header header;
	struct ring_packet packet;
	int r;

	while (clock_now() < deadline) {
		r = client_channel_receive(&video.channel, video.message, sizeof(video.message),
					   &packet);
		if (r == RING_E_EMPTY)
			machine_pause();
		else if (r)
			return NULL;
		if (r || packet.payload_size < sizeof(header) + size)
			continue;
		memcpy(&header, packet.payload, sizeof(header));
		if (header.type == (uint32_t)type)
			return (const uint8_t *)packet.payload + sizeof(header);
	}
	return NULL;
}

static bool agree_on_version(void)
{
	const struct video_version_request request = { VIDEO_VERSION(VIDEO_MINOR_MAX) };
	struct video_version_response response;
	const void *answer;

	if (!send(VIDEO_VERSION_REQUEST, &request, sizeof(request)))
		return false;
	answer = await(VIDEO_VERSION_RESPONSE, sizeof(response));
	if (!answer)
		return false;
	memcpy(&response, answer, sizeof(response));
	return response.accepted;
}

/* One is asked for: that which the host prefers is among them. */
static bool ask_resolution(struct video_resolution *ret_resolution)
{
	const struct video_resolution_request request = { 1 };
	const uint32_t size = sizeof(struct video_resolution_response) + sizeof(*ret_resolution);
	const uint8_t *answer;

	if (!send(VIDEO_RESOLUTION_REQUEST, &request, sizeof(request)))
		return false;
	answer = await(VIDEO_RESOLUTION_RESPONSE, size);
	if (!answer)
		return false;
	memcpy(ret_resolution, answer + sizeof(struct video_resolution_response),
	       sizeof(*ret_resolution));
	return (uint64_t)ret_resolution->width * ret_resolution->height * 4 <= EFI_VIDEO_SIZE &&
	       ret_resolution->width > 0 && ret_resolution->height > 0;
}

static bool show(const struct video_resolution *resolution)
{
	const struct video_vram_location location = { .specified = 1, .gpa = EFI_VIDEO_PLACE };
	const struct video_situation_update update = {
		.output_count = 1,
		.output = { .active = 1,
			    .depth = DEPTH,
			    .width = resolution->width,
			    .height = resolution->height,
			    .pitch = resolution->width * 4u },
	};

	return send(VIDEO_VRAM_LOCATION, &location, sizeof(location)) &&
	       await(VIDEO_VRAM_LOCATION_ACK, sizeof(struct video_ack)) &&
	       send(VIDEO_SITUATION_UPDATE, &update, sizeof(update)) &&
	       await(VIDEO_SITUATION_UPDATE_ACK, sizeof(struct video_ack));
}

static bool open_channel(struct vmbus_client *bus)
{
	const struct vmbus_message_offer_channel *offer = vmbus_client_find(bus, &video_type, 0, 0);
	struct client_channel_memory rings = { .pages = RING_PAGES };

	if (!offer)
		return false;
	if (video.rings == 0 &&
	    efi_boot->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_BOOT_SERVICES_DATA, RING_PAGES,
				     &video.rings) != EFI_SUCCESS)
		return false;
	rings.address = machine_address(video.rings);
	return client_channel_open(&video.channel, bus, offer, rings, NULL) == 0;
}

bool efi_video_open(struct vmbus_client *bus, uint32_t *ret_width, uint32_t *ret_height)
{
	struct video_resolution resolution;

	if (!open_channel(bus) || !agree_on_version() || !ask_resolution(&resolution) ||
	    !show(&resolution))
		return false;
	*ret_width = resolution.width;
	*ret_height = resolution.height;
	return true;
}

void efi_video_free(void)
{
	if (video.rings != 0)
		efi_boot->free_pages(video.rings, RING_PAGES);
	video.rings = 0;
}
