/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of adapters, memory, keyboard, mouse, screen, sockets and the services that the host asks things of, as it may come
 * from another host. The bus, storage and the other services are fuzz_bus_state's.
 *
 * Input: the records. Devices whose record is there are restored from it, the others stay as they
 * were made. If all is taken, the guest goes on, and all is saved once more.
 */
#include "common/base/state.h"
#include "tests/fake/fake.h"
#include "tests/fake/netvsc.h"
#include "vsp/hid/keyboard.h"
#include "vsp/hid/mouse.h"
#include "vsp/ic/ic.h"
#include "vsp/memory/balloon.h"
#include "vsp/network/network.h"
#include "vsp/socket/sockets.h"
#include "vsp/video/video.h"

#include <assert.h>
#include <stdlib.h>

#define RAM_SIZE (512u << 20) /* as the guests had whose states are in the corpus */
#define QUEUES   4

static struct fake *fake;
static struct network_adapter *adapter;
static struct balloon *balloon;
static struct keyboard *keyboard;
static struct mouse *mouse;
static struct video *video;
static struct sockets *sockets;
static struct ic_kvp *kvp;
static struct ic_vss *vss;
static struct ic_file_copy *copy;

static void nothing(void *data)
{
}

static void guest_is(void *data, const struct ic_kvp_guest *guest)
{
}

static void thawed(void *data, int result)
{
}

static void asked(void *data, uint32_t request, uint32_t port)
{
	assert(request != 0);
}

static void make_adapter(void)
{
	const struct network_options options = {
		.instance = GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
		.name = "nic0",
		.channel_max = QUEUES,
		.mac = { 0x02, 0x56, 0x4d, 0x00, 0x00, 0x01 },
		.mtu = 1500,
		.ended = nothing,
	};
	int r = network_adapter_new(fake->bus, &options, &adapter);

	assert(r == 0);
	network_adapter_connect(adapter, &fake_network_new(QUEUES)->backend);
}

/* It may be anywhere. */
static int place(void *data, gpa_t gpa)
{
	return 0;
}

static const struct video_ops video_ops = { place, nothing };

static int make_video(void)
{
	static uint8_t vram[VIDEO_VRAM_SIZE];
	const struct video_config config = {
		.bus = fake->bus,
		.ops = &video_ops,
		.vram = vram,
		.resolution = { 1024, 768 },
	};

	return video_new(&config, &video);
}

static void make_devices(void)
{
	static const struct balloon_callbacks balloon_callbacks = { nothing };
	static const struct sockets_callbacks sockets_callbacks = { asked };
	static const struct ic_kvp_callbacks kvp_callbacks = { guest_is, nothing };
	static const struct ic_vss_callbacks vss_callbacks = { thawed };
	static const struct ic_kvp_options kvp_options = { 0 };
	const struct balloon_options memory = { .size = RAM_SIZE, .end = RAM_SIZE };
	int r = 0;

	make_adapter();
	r = r ? r : balloon_new(fake->bus, &memory, &balloon_callbacks, NULL, &balloon);
	r = r ? r : keyboard_new(fake->bus, &keyboard);
	r = r ? r : make_video();
	r = r ? r : mouse_new(fake->bus, &mouse);
	r = r ? r : sockets_new(fake->bus, 0, &sockets_callbacks, NULL, &sockets);
	r = r ? r : ic_kvp_new(fake->bus, &kvp_options, &kvp_callbacks, NULL, &kvp);
	r = r ? r : ic_vss_new(fake->bus, NULL, &vss_callbacks, NULL, &vss);
	r = r ? r : ic_file_copy_new(fake->bus, 0, &copy);
	assert(r == 0);
}

static void free_devices(void)
{
	network_adapter_free(adapter);
	balloon_free(balloon);
	keyboard_free(keyboard);
	video_free(video);
	mouse_free(mouse);
	sockets_free(sockets);
	ic_kvp_free(kvp);
	ic_vss_free(vss);
	ic_file_copy_free(copy);
}

/* A device of which nothing is said stays as it is. */
static bool is_taken(int r)
{
	return r == 0 || r == STATE_E_ABSENT;
}

static bool restore_service(struct ic_service *service, const char *name,
			    const struct state_reader *reader)
{
	return is_taken(ic_service_restore(service, name, reader));
}

static bool restore(const struct state_reader *reader)
{
	struct guid type, instance;

	return vmbus_restore(fake->bus, reader) == 0 &&
	       is_taken(network_adapter_restore(adapter, "network", reader)) &&
	       is_taken(balloon_restore(balloon, "balloon", reader)) &&
	       is_taken(keyboard_restore(keyboard, "keyboard", reader)) &&
	       is_taken(video_restore(video, "video", reader)) &&
	       is_taken(mouse_restore(mouse, "mouse", reader)) &&
	       is_taken(sockets_restore(sockets, "sockets", reader)) &&
	       restore_service(ic_kvp_service(kvp), "kvp", reader) &&
	       restore_service(ic_vss_service(vss), "vss", reader) &&
	       restore_service(ic_file_copy_service(copy), "file_copy", reader) &&
	       vmbus_restored(fake->bus, &type, &instance) == 0;
}

static void save(void)
{
	struct state_writer writer;

	vmbus_quiesce(fake->bus, nothing, NULL);
	network_adapter_quiesce(adapter, nothing, NULL);
	balloon_quiesce(balloon);
	keyboard_quiesce(keyboard);
	video_quiesce(video);
	mouse_quiesce(mouse);
	sockets_quiesce(sockets);
	ic_service_quiesce(ic_kvp_service(kvp));
	ic_service_quiesce(ic_vss_service(vss));
	ic_file_copy_quiesce(copy, nothing, NULL);
	fake_settle(fake);
	state_writer_init(&writer);
	if (vmbus_save(fake->bus, &writer) == 0 &&
	    network_adapter_save(adapter, "network", &writer) == 0) {
		balloon_save(balloon, "balloon", &writer);
		keyboard_save(keyboard, "keyboard", &writer);
		video_save(video, "video", &writer);
		mouse_save(mouse, "mouse", &writer);
		sockets_save(sockets, "sockets", &writer);
		ic_service_save(ic_kvp_service(kvp), "kvp", &writer);
		ic_service_save(ic_vss_service(vss), "vss", &writer);
		ic_service_save(ic_file_copy_service(copy), "file_copy", &writer);
	}
	state_writer_deinit(&writer);
}

static void go_on(void)
{
	vmbus_resume(fake->bus);
	network_adapter_resume(adapter);
	balloon_resume(balloon);
	keyboard_resume(keyboard);
	video_resume(video);
	mouse_resume(mouse);
	sockets_resume(sockets);
	ic_service_resume(ic_kvp_service(kvp));
	ic_service_resume(ic_vss_service(vss));
	ic_file_copy_resume(copy);
	balloon_set_target(balloon, RAM_SIZE / 2);
	ic_kvp_refresh_soon(kvp);
	fake_settle(fake);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fake = fake_new(4, RAM_SIZE);
	make_devices();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_reader reader;

	if (state_reader_init(&reader, data, size) != 0)
		return 0;
	if (restore(&reader)) {
		go_on();
		save();
		go_on();
	}
	fake_leave(fake);
	fake->inbox_count = fake->offer_count = 0; /* another guest */
	free_devices();
	fake_arrive(fake);
	make_devices();
	return 0;
}
