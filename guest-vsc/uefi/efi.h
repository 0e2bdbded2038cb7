/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver uses of UEFI: a table of services, three protocols, and how they are called.
 *
 * Members that it does not use have a name and no type. Compiled for Windows' calling convention,
 * which is UEFI's. Source: UEFI specification 2.10: 4.3 and 4.4 (tables), 7 (services), 11.1 (driver
 * binding), 14.4 (PCI), 10.3.4.2 (a SCSI device's path), 15.7 (SCSI).
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

typedef uint64_t efi_status_t;
typedef void *efi_handle_t;
typedef void *efi_event_t;

#define EFI_ERROR(code)       (UINT64_C(1) << 63 | (code))
#define EFI_SUCCESS           UINT64_C(0)
#define EFI_INVALID_PARAMETER EFI_ERROR(2)
#define EFI_UNSUPPORTED       EFI_ERROR(3)
#define EFI_BAD_BUFFER_SIZE   EFI_ERROR(4)
#define EFI_DEVICE_ERROR      EFI_ERROR(7)
#define EFI_OUT_OF_RESOURCES  EFI_ERROR(9)
#define EFI_NOT_FOUND         EFI_ERROR(14)
#define EFI_TIMEOUT           EFI_ERROR(18)

enum { EFI_TPL_NOTIFY = 16 };
enum { EFI_EVENT_EXIT_BOOT_SERVICES = 0x201 };
enum { EFI_BOOT_SERVICES_DATA = 4 };
enum { EFI_ALLOCATE_ANY_PAGES = 0 };
enum { EFI_OPEN_BY_DRIVER = 0x10 };

struct efi_table_header {
	uint64_t signature;
	uint32_t revision, size, crc32, reserved;
};
_Static_assert(sizeof(struct efi_table_header) == 24, "UEFI 4.2");

struct efi_boot_services {
	struct efi_table_header header;
	uint64_t (*raise_tpl)(uint64_t level);
	void (*restore_tpl)(uint64_t level);
	efi_status_t (*allocate_pages)(uint32_t how, uint32_t type, uint64_t pages,
				       uint64_t *address);
	efi_status_t (*free_pages)(uint64_t address, uint64_t pages);
	void *get_memory_map;
	efi_status_t (*allocate_pool)(uint32_t type, uint64_t size, void **ret_buffer);
	efi_status_t (*free_pool)(void *buffer);
	efi_status_t (*create_event)(uint32_t type, uint64_t level,
				     void (*notify)(efi_event_t event, void *context),
				     void *context, efi_event_t *ret_event);
	void *set_timer, *wait_for_event, *signal_event;
	efi_status_t (*close_event)(efi_event_t event);
	void *check_event, *install_protocol_interface, *reinstall_protocol_interface,
		*uninstall_protocol_interface, *handle_protocol, *reserved,
		*register_protocol_notify, *locate_handle, *locate_device_path,
		*install_configuration_table, *load_image, *start_image, *exit, *unload_image,
		*exit_boot_services, *get_next_monotonic_count, *stall, *set_watchdog_timer,
		*connect_controller, *disconnect_controller;
	efi_status_t (*open_protocol)(efi_handle_t handle, const struct guid *protocol,
				      void **ret_interface, efi_handle_t agent,
				      efi_handle_t controller, uint32_t attributes);
	efi_status_t (*close_protocol)(efi_handle_t handle, const struct guid *protocol,
				       efi_handle_t agent, efi_handle_t controller);
	void *open_protocol_information, *protocols_per_handle, *locate_handle_buffer,
		*locate_protocol;
	efi_status_t (*install_protocols)(efi_handle_t *handle, ...);
	efi_status_t (*uninstall_protocols)(efi_handle_t handle, ...);
};
_Static_assert(offsetof(struct efi_boot_services, open_protocol) == 280, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, install_protocols) == 328, "UEFI 4.4");

struct efi_system_table {
	struct efi_table_header header;
	void *vendor;
	uint32_t revision;
	void *console_in_handle, *console_in, *console_out_handle, *console_out,
		*standard_error_handle, *standard_error, *runtime_services;
	const struct efi_boot_services *boot_services;
};
_Static_assert(offsetof(struct efi_system_table, boot_services) == 96, "UEFI 4.3");

struct efi_device_path {
	uint8_t type, sub_type;
	uint16_t length;
} PACKED;

enum { EFI_PATH_MESSAGING = 3, EFI_PATH_SCSI = 2 };

struct efi_scsi_path {
	struct efi_device_path header;
	uint16_t target, lun;
} PACKED;
_Static_assert(sizeof(struct efi_scsi_path) == 8, "UEFI 10.3.4.2");

struct efi_driver_binding {
	efi_status_t (*supported)(struct efi_driver_binding *binding, efi_handle_t controller,
				  const struct efi_device_path *rest);
	efi_status_t (*start)(struct efi_driver_binding *binding, efi_handle_t controller,
			      const struct efi_device_path *rest);
	efi_status_t (*stop)(struct efi_driver_binding *binding, efi_handle_t controller,
			     uint64_t child_count, efi_handle_t *children);
	uint32_t version;
	efi_handle_t image, handle;
};
_Static_assert(sizeof(struct efi_driver_binding) == 48, "UEFI 11.1");

enum { EFI_PCI_WIDTH_32 = 2 };

struct efi_pci_io {
	void *before[6];
	efi_status_t (*config_read)(struct efi_pci_io *pci, uint32_t width, uint32_t offset,
				    uint64_t count, void *buffer);
};

enum {
	EFI_SCSI_PHYSICAL = 1,
	EFI_SCSI_LOGICAL = 2,
};

struct efi_scsi_mode {
	uint32_t adapter, attributes, alignment;
};

enum { EFI_SCSI_READ = 0, EFI_SCSI_WRITE = 1 };
enum { EFI_SCSI_ADAPTER_OK = 0, EFI_SCSI_ADAPTER_TIMEOUT = 0xb, EFI_SCSI_ADAPTER_OTHER = 0x7f };

struct efi_scsi_packet {
	uint64_t timeout; /* 100 ns */
	void *in, *out, *sense, *cdb;
	uint32_t in_length, out_length;
	uint8_t cdb_length, direction, adapter_status, target_status, sense_length;
};
_Static_assert(offsetof(struct efi_scsi_packet, sense_length) == 52, "UEFI 15.7");

#define EFI_SCSI_TARGET_SIZE 16

struct efi_scsi {
	const struct efi_scsi_mode *mode;
	efi_status_t (*pass)(struct efi_scsi *scsi, const uint8_t *target, uint64_t lun,
			     struct efi_scsi_packet *packet, efi_event_t event);
	efi_status_t (*next_lun)(struct efi_scsi *scsi, uint8_t **target, uint64_t *lun);
	efi_status_t (*build_path)(struct efi_scsi *scsi, const uint8_t *target, uint64_t lun,
				   struct efi_device_path **ret_path);
	efi_status_t (*parse_path)(struct efi_scsi *scsi, const struct efi_device_path *path,
				   uint8_t **target, uint64_t *ret_lun);
	efi_status_t (*reset_channel)(struct efi_scsi *scsi);
	efi_status_t (*reset_lun)(struct efi_scsi *scsi, const uint8_t *target, uint64_t lun);
	efi_status_t (*next_target)(struct efi_scsi *scsi, uint8_t **target);
};

extern const struct guid efi_driver_binding_guid, efi_pci_io_guid, efi_scsi_guid;

/* The firmware's, as long as it has not handed the machine over. */
extern const struct efi_boot_services *efi_boot;
