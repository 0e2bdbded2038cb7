/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the fake worker share: its state, how it speaks to the daemon and on the serial
 * port, and what it answers. fake_worker.c says what it is.
 */
#pragma once

#include "common/control_contract.h"
#include "common/definition/definition.h"

struct fake {
	int listener, control, serial; /* control: -1: there is no daemon now */
	int end;                       /* -1: none */
	struct definition *definition;
	size_t descriptor_count;
	int media[DEFINITION_CONTROLLERS_MAX][DEFINITION_LUNS_MAX];   /* 0: none */
	bool drives[DEFINITION_CONTROLLERS_MAX][DEFINITION_LUNS_MAX]; /* that are there */
	bool stop;
	uint32_t copy; /* the request of the copy, and of the dump */
	uint32_t dump;
	uint32_t send;   /* the request to send it elsewhere */
	int send_socket; /* to there; 0: none */
	uint32_t save;   /* the last request of that kind */
	bool saved;      /* and nothing has happened since */
	int sockets;     /* that listens; -1: none */
	struct {
		int process, socket; /* process 0: none */
		bool served;
	} backup;
	uint32_t detach;         /* the last request of that kind */
	uint32_t changed;        /* the last one that changed devices or actions */
	uint64_t answers;        /* to "statistics", by the thousand */
	uint64_t memory, demand; /* of the guest; demand 0: not told */
	const char *state;
	char line[256];
	size_t line_size;
};

/* Does what a request asks for. Returns NULL, or the code of an error. */
typedef const char *fake_method_fn(struct fake *fake, struct control_message *message,
				   const struct control_arguments *arguments);

/* ---- Methods: of the VM, of disks, of the guest, of saves and moves ---- */

fake_method_fn method_descriptors, method_reset;
fake_method_fn method_disk, method_fork, method_reconnect, method_measure, method_cancel_detach;
fake_method_fn method_shutdown, method_nmi, method_memory, method_value, method_press_keys,
	method_take_picture, method_snapshot, method_copy, method_cancel_copy, method_dump,
	method_cancel_dump, method_open_socket, method_answer_socket;
fake_method_fn method_save, method_cancel_save, method_restore, method_send, method_receive,
	method_cancel_move, method_hand_over, method_take_over;

/* A member of a request that is a text; "" or none: it has no such member. */
const char *member(struct control_message *message, const char *key);
const char *member_or(struct control_message *message, const char *key, const char *none);

bool is_in(const struct fake *fake, const char *state);
bool has_dynamic_memory(const struct fake *fake);

/* fd: taken over; 0: there is none any more. */
void set_medium(struct fake *fake, size_t controller, size_t lun, int fd);

/* Bytes of the disk that the request is about: as large as its file is. */
long long fake_size(const struct fake *fake, const struct control_arguments *arguments);

/* Bytes that a VM is sent as. */
size_t fake_moved_size(void);

/* Whether the command line of the VM asks for that fault. */
bool asked_for(const struct fake *fake, const char *fault);

/* On the serial port. */
void say(const struct fake *fake, const char *text);

/* data: taken over. */
void event(const struct fake *fake, const char *name, struct json_object *data);
void state_event(struct fake *fake, const char *state, const char *reason, const char *message);
/* What a daemon that has just come is told of the guest. */
void tell_all(struct fake *fake);
void memory_event(const struct fake *fake);
void disk_event(struct fake *fake, const char *health);

/* The guest has ended, and so does the worker. */
void end(struct fake *fake, const char *reason, const char *message);

/* Media of all DVDs. */
void eject_all(struct fake *fake);

/* Does what fake->line says. */
void interpret(struct fake *fake);

/* ---- What it answers; owned by the caller ---- */

struct json_object *make_statistics(uint64_t number);
struct json_object *make_hostile_statistics(void);
struct json_object *make_processors(bool hostile);
struct json_object *make_disks(bool hostile);
struct json_object *make_inspection(enum control_part part, int64_t first);
struct json_object *make_hostile_inspection(const char *part, int64_t first);
struct json_object *make_values(void);
