/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guest says of its screen, and what it is answered. */
#include "vsp/video/video_internal.h"

#include <assert.h>
#include <string.h>

/* ---- Sending ---- */

#define MESSAGE_MAX                                 \
	(sizeof(struct video_resolution_response) + \
	 VIDEO_RESOLUTION_MAX * sizeof(struct video_resolution))

/* As a message counts its size, which begins behind the pipe's header. */
#define HEADER_SIZE (sizeof(struct video_header) - sizeof(struct video_pipe_header))

/* Return: 0; VMBUS_E_. */
static int video_send(struct video *video, enum video_message_type type, const void *body,
		      size_t size)
{
	struct {
		struct video_header header;
		uint8_t body[MESSAGE_MAX];
	} PACKED message;

	assert(size <= sizeof(message.body));
	message.header = (struct video_header){
		.pipe = { .type = VIDEO_PIPE_DATA },
		.type = type,
		.size = (uint32_t)(HEADER_SIZE + size),
	};
	message.header.pipe.size = message.header.size;
	memcpy(message.body, body, size);
	return vmbus_channel_send(video->channel, RING_PACKET_INBAND, false, 0, &message,
				  sizeof(message.header) + size);
}

/* A guest that asks, and takes no answers, has no driver that we know. */
static void video_answer(struct video *video, enum video_message_type type, const void *body,
			 size_t size)
{
	if (video_send(video, type, body, size))
		video_enter(video, VIDEO_REFUSED);
}

void video_send_feature_change(struct video *video)
{
	const struct video_feature_change change = { video->watched, video->watched, video->watched,
						     video->watched };

	if (!video->feature_change_waits || video->quiet || video->state != VIDEO_READY)
		return;
	video->feature_change_waits =
		video_send(video, VIDEO_FEATURE_CHANGE, &change, sizeof(change)) == VMBUS_E_FULL;
}

/* ---- Messages: false: it makes no sense ---- */

static bool on_version_request(struct video *video, const uint8_t *body, size_t size)
{
	struct video_version_response response = { .output_count = 1 };
	struct video_version_request request;
	uint32_t version;

	memcpy(&request, body, sizeof(request));
	version = request.version;
	response.version = version;
	for (unsigned minor = 0; minor <= VIDEO_MINOR_MAX; minor++)
		if (version == VIDEO_VERSION(minor))
			response.accepted = VIDEO_ACCEPTED;
	video->version = response.accepted ? version : 0;
	video->state = response.accepted ? VIDEO_READY : VIDEO_NEGOTIATING;
	video_answer(video, VIDEO_VERSION_RESPONSE, &response, sizeof(response));
	return true;
}

static bool on_resolution_request(struct video *video, const uint8_t *body, size_t size)
{
	struct {
		struct video_resolution_response head;
		struct video_resolution list[VIDEO_RESOLUTION_MAX];
	} PACKED response = { 0 };
	struct video_resolution list[VIDEO_RESOLUTION_MAX];
	unsigned count, preferred;

	count = video_list_resolutions(&video->config.resolution, body[0], list, &preferred);
	memcpy(response.list, list, count * sizeof(list[0]));
	video_make_edid(&video->config.resolution, response.head.edid);
	response.head.count = (uint8_t)count;
	response.head.preferred = (uint8_t)preferred;
	video_answer(video, VIDEO_RESOLUTION_RESPONSE, &response,
		     sizeof(response.head) + count * sizeof(list[0]));
	return true;
}

/* No acknowledgement is what a guest gets for a place where the frame buffer cannot be. */
static bool on_vram_location(struct video *video, const uint8_t *body, size_t size)
{
	struct video_vram_location location;
	struct video_ack ack;
	int r;

	memcpy(&location, body, sizeof(location));
	if (!location.specified)
		return false;
	r = video->config.ops->place(video->config.data, GPA(location.gpa));
	if (r)
		return false;
	video->placed = true;
	video->place = GPA(location.gpa);
	ack.context = location.context;
	video_answer(video, VIDEO_VRAM_LOCATION_ACK, &ack, sizeof(ack));
	return true;
}

static bool on_situation_update(struct video *video, const uint8_t *body, size_t size)
{
	struct video_situation_update update;
	struct video_ack ack;
	bool fits;

	memcpy(&update, body, sizeof(update));
	fits = update.output_count == 1 && video_set_mode(video, &update.output);
	video_note_mode(video);
	ack.context = update.context;
	video_answer(video, VIDEO_SITUATION_UPDATE_ACK, &ack, sizeof(ack));
	return fits;
}

static bool on_pointer_position(struct video *video, const uint8_t *body, size_t size)
{
	struct video_pointer_position position;

	memcpy(&position, body, sizeof(position));
	video->pointer.visible = position.visible != 0;
	video->pointer.x = position.x;
	video->pointer.y = position.y;
	if (video->viewer)
		video->viewer->pointer(video->viewer_data);
	return true;
}

static void pointer_take_shape(struct video *video)
{
	const struct video_pointer_shape *shape = &video->coming;

	video->pointer.width = shape->width;
	video->pointer.height = shape->height;
	video->pointer.hot_x = shape->hot_x;
	video->pointer.hot_y = shape->hot_y;
	memcpy(video->pixels, video->coming_pixels,
	       shape->width * shape->height * sizeof(video->pixels[0]));
	if (video->viewer)
		video->viewer->shape(video->viewer_data);
}

/* Masks are of guests without colours: none is known to send them any more. */
static bool pointer_is_valid(const struct video_pointer_shape *shape)
{
	return shape->argb && shape->width > 0 && shape->width <= VIDEO_POINTER_SIZE_MAX &&
	       shape->height > 0 && shape->height <= VIDEO_POINTER_SIZE_MAX &&
	       shape->hot_x < shape->width && shape->hot_y < shape->height;
}

/* Parts follow each other without gaps, from 0 on, or one part is all. */
static bool on_pointer_shape(struct video *video, const uint8_t *body, size_t size)
{
	struct video_pointer_shape part;
	uint32_t whole, bytes;

	memcpy(&part, body, sizeof(part));
	if (!pointer_is_valid(&part)) {
		video->coming_bytes = 0;
		return false;
	}
	if (part.part == 0 || video->coming_bytes == 0 || part.width != video->coming.width ||
	    part.height != video->coming.height)
		video->coming_bytes = 0;
	video->coming = part;
	whole = part.width * part.height * (uint32_t)sizeof(uint32_t);
	bytes = MIN((uint32_t)(size - sizeof(part)), whole - video->coming_bytes);
	memcpy(video->coming_pixels + video->coming_bytes, body + sizeof(part), bytes);
	video->coming_bytes += bytes;
	if (part.part != VIDEO_POINTER_LAST)
		return true;
	bytes = video->coming_bytes;
	video->coming_bytes = 0;
	if (bytes != whole)
		return false;
	pointer_take_shape(video);
	return true;
}

/* As far as it is within the mode. */
static void dirt_tell(const struct video *video, const struct video_rectangle *rectangle)
{
	const struct video_rectangle cut = {
		.x1 = MAX(rectangle->x1, 0),
		.y1 = MAX(rectangle->y1, 0),
		.x2 = MIN(rectangle->x2, (int32_t)video->mode.width),
		.y2 = MIN(rectangle->y2, (int32_t)video->mode.height),
	};

	if (cut.x1 < cut.x2 && cut.y1 < cut.y2)
		video->viewer->dirt(video->viewer_data, &cut);
}

static bool on_dirt(struct video *video, const uint8_t *body, size_t size)
{
	struct video_dirt dirt;

	memcpy(&dirt, body, sizeof(dirt));
	if (dirt.count * sizeof(struct video_rectangle) > size - sizeof(dirt))
		return false;
	video->rectangles += dirt.count;
	for (size_t i = 0; video->viewer && i < dirt.count; i++) {
		struct video_rectangle rectangle;

		memcpy(&rectangle, body + sizeof(dirt) + i * sizeof(rectangle), sizeof(rectangle));
		dirt_tell(video, &rectangle);
	}
	return true;
}

static const struct {
	size_t size; /* of the body, at least */
	bool (*handle)(struct video *video, const uint8_t *body, size_t size);
} messages[] = {
	[VIDEO_VERSION_REQUEST] = { sizeof(struct video_version_request), on_version_request },
	[VIDEO_VRAM_LOCATION] = { sizeof(struct video_vram_location), on_vram_location },
	[VIDEO_SITUATION_UPDATE] = { sizeof(struct video_situation_update), on_situation_update },
	[VIDEO_POINTER_POSITION] = { sizeof(struct video_pointer_position), on_pointer_position },
	[VIDEO_POINTER_SHAPE] = { sizeof(struct video_pointer_shape), on_pointer_shape },
	[VIDEO_DIRT] = { sizeof(struct video_dirt), on_dirt },
	[VIDEO_RESOLUTION_REQUEST] = { sizeof(struct video_resolution_request),
				       on_resolution_request },
};

/* What is not known is nothing to us: newer guests may say more. */
static void video_take_message(struct video *video, const struct video_header *header,
			       const uint8_t *body, size_t size)
{
	if (header->type >= ARRAY_SIZE(messages) || !messages[header->type].handle)
		return;
	if (size < messages[header->type].size ||
	    (video->state != VIDEO_READY && header->type != VIDEO_VERSION_REQUEST) ||
	    !messages[header->type].handle(video, body, size))
		video->refused++;
}

void video_receive(struct video *video, const struct vmbus_packet *packet)
{
	struct video_header header;
	size_t size;

	if (video->state == VIDEO_REFUSED)
		return;
	if (packet->type != RING_PACKET_INBAND || packet->size < sizeof(header)) {
		video_enter(video, VIDEO_REFUSED);
		return;
	}
	if (packet->completion_requested &&
	    vmbus_channel_complete(video->channel, packet->transaction_id, NULL, 0)) {
		video_enter(video, VIDEO_REFUSED);
		return;
	}
	memcpy(&header, packet->payload, sizeof(header));
	size = packet->size - sizeof(header);
	/* A ring has multiples of 8: what is behind the message is none of it. */
	if (header.size >= HEADER_SIZE && header.size - HEADER_SIZE < size)
		size = header.size - HEADER_SIZE;
	video_take_message(video, &header, packet->payload + sizeof(header), size);
	video_send_feature_change(video);
}
