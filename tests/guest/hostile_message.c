/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Channel messages that no decent guest posts.
 */
#include "guest-vsc/memory.h"
#include "tests/guest/hostile.h"

static void unknown_messages(unsigned variant)
{
	static const uint32_t types[] = { 0,  1,  2,  4,  6,  10, 12, 15, 17,         18,        19,
					  20, 23, 24, 25, 26, 27, 28, 29, 0x7fffffff, 0xffffffff };
	uint8_t message[VMBUS_MESSAGE_MAX];

	memset(message, 0xff, sizeof(message));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		memcpy(message, &types[i], sizeof(types[i]));
		hostile_post(message, sizeof(message));
		hostile_post(message, sizeof(struct vmbus_message_header));
	}
}

static void short_messages(unsigned variant)
{
	static const uint32_t types[] = {
		VMBUS_MESSAGE_OPEN_CHANNEL,     VMBUS_MESSAGE_CLOSE_CHANNEL,
		VMBUS_MESSAGE_GPADL_HEADER,     VMBUS_MESSAGE_GPADL_BODY,
		VMBUS_MESSAGE_GPADL_TEARDOWN,   VMBUS_MESSAGE_RELID_RELEASED,
		VMBUS_MESSAGE_INITIATE_CONTACT, VMBUS_MESSAGE_TL_CONNECT_REQUEST,
		VMBUS_MESSAGE_MODIFY_CHANNEL,
	};
	uint8_t message[VMBUS_MESSAGE_MAX] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		memcpy(message, &types[i], sizeof(types[i]));
		for (size_t size = 0; size < 48; size += 4)
			if (size != sizeof(struct vmbus_message_initiate_contact))
				hostile_post(message, size);
	}
}

static void messages_before_contact(unsigned variant)
{
	if (!rig_unload())
		return;
	rig.bus.connection_id = VMBUS_CONNECTION_ID_MESSAGE_4;
	HOSTILE_POST((struct vmbus_message_header){ .type = VMBUS_MESSAGE_REQUEST_OFFERS });
	HOSTILE_POST((struct vmbus_message_open_channel){
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL, .relid = 1, .open_id = 1 });
	HOSTILE_POST((struct vmbus_message_relid){ .header.type = VMBUS_MESSAGE_CLOSE_CHANNEL,
						   .relid = 1 });
	HOSTILE_POST((struct vmbus_message_gpadl_teardown){
		.header.type = VMBUS_MESSAGE_GPADL_TEARDOWN, .relid = 1, .gpadl = 1 });
}

static const struct vmbus_message_initiate_contact contacts[] = {
	{ .version = 0 },
	{ .version = UINT32_MAX },
	{ .version = VMBUS_VERSION_5_3, .target_vp = UINT32_MAX, .sint = VMBUS_SINT },
	{ .version = VMBUS_VERSION_5_3, .target_vp = 4096, .sint = VMBUS_SINT },
	{ .version = VMBUS_VERSION_5_3, .sint = 255, .vtl = 255 },
	{ .version = VMBUS_VERSION_2_4,
	  .monitor_page_1 = UINT64_MAX,
	  .monitor_page_2 = UINT64_MAX },
};

static void garbled_contacts(unsigned variant)
{
	struct vmbus_message_initiate_contact contact = contacts[variant];

	contact.header.type = VMBUS_MESSAGE_INITIATE_CONTACT;
	HOSTILE_POST(contact);
	if (contact.target_vp == 0 && contact.sint != 255)
		hostile_await_version();
}

static void contact_while_open(unsigned variant)
{
	HOSTILE_POST((struct vmbus_message_initiate_contact){
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_5_3,
		.sint = VMBUS_SINT });
	hostile_await_version();
}

static void open_garbage(unsigned variant)
{
	static const uint32_t relids[] = { 0, 2047, 2048, 5000, UINT32_MAX };
	struct vmbus_message_open_channel open = { .header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
						   .ring_gpadl = 0xdead,
						   .downstream_page = 1 };
	uint32_t gpadl;
	static const uint32_t downstream[] = {
		0, 1, RIG_RING_PAGES - 1, RIG_RING_PAGES, RIG_RING_PAGES + 1, 0x80000000, UINT32_MAX
	};

	for (size_t i = 0; i < ARRAY_SIZE(relids); i++) {
		open.relid = relids[i];
		HOSTILE_POST(open);
	}
	open.relid = hostile_relid();
	HOSTILE_POST(open);
	if (vmbus_client_share(&rig.bus, open.relid, hostile_shared, sizeof(hostile_shared),
			       &gpadl))
		return;
	open.ring_gpadl = gpadl;
	for (size_t i = 0; i < ARRAY_SIZE(downstream); i++) {
		open.downstream_page = downstream[i];
		open.target_vp = downstream[i];
		HOSTILE_POST(open);
	}
}

static void open_twice(unsigned variant)
{
	struct vmbus_message_open_channel open = {
		.header.type = VMBUS_MESSAGE_OPEN_CHANNEL,
		.relid = hostile_relid(),
		.open_id = hostile_relid(),
		.ring_gpadl = rig.storage.channels[0].gpadl,
		.downstream_page = RIG_RING_PAGES / 2,
	};

	HOSTILE_POST(open);
	open.relid++;
	HOSTILE_POST(open);
}

static void close_and_release_garbage(unsigned variant)
{
	static const uint32_t relids[] = { 0, 1, 2, 3, 4, 2047, 2048, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(relids); i++) {
		struct vmbus_message_relid message = { .relid = relids[i] };

		message.header.type = VMBUS_MESSAGE_CLOSE_CHANNEL;
		HOSTILE_POST(message);
		HOSTILE_POST(message);
		message.header.type = VMBUS_MESSAGE_RELID_RELEASED;
		HOSTILE_POST(message);
		HOSTILE_POST((struct vmbus_message_modify_channel){
			.header.type = VMBUS_MESSAGE_MODIFY_CHANNEL,
			.relid = relids[i],
			.target_vp = UINT32_MAX - relids[i] });
	}
}

const struct attack hostile_messages[] = {
	{ "unknown messages", unknown_messages, 1, 0 },
	{ "short messages", short_messages, 1, 0 },
	{ "messages before the contact", messages_before_contact, 1, 0 },
	{ "garbled contacts", garbled_contacts, ARRAY_SIZE(contacts), 0 },
	{ "a contact while channels are open", contact_while_open, 1, HOSTILE_OPEN },
	{ "opening what cannot be opened", open_garbage, 1, 0 },
	{ "opening twice", open_twice, 1, HOSTILE_OPEN },
	{ "closing and releasing anything", close_and_release_garbage, 1, HOSTILE_OPEN },
	{ 0 },
};
