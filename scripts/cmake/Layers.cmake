# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One static library per folder. A folder names what it builds on in DEPENDS (folders of ours)
# and LIBRARIES (pkg-config modules); tests/lint/layers.py holds the table of what it may name,
# and checks both the link lines here and the includes in the sources.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(vmms_flags INTERFACE)
target_include_directories(vmms_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(vmms_flags INTERFACE _GNU_SOURCE VMMS_VERSION="${PROJECT_VERSION}")
target_compile_options(vmms_flags INTERFACE
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
	-Wimplicit-fallthrough -Wundef -Wformat=2 -Wno-unused-parameter
	-fno-strict-aliasing -fstack-protector-strong)
# gcc takes "return -errno" for a possible success, and what success would have set for unset. The
# analysis of clang, which does not guess, stays on.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	target_compile_options(vmms_flags INTERFACE -Wno-maybe-uninitialized)
endif()
if(VMMS_WERROR)
	target_compile_options(vmms_flags INTERFACE -Werror)
endif()
if(VMMS_SANITIZE)
	target_compile_options(vmms_flags INTERFACE
		-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
	target_link_options(vmms_flags INTERFACE -fsanitize=address,undefined)
endif()
if(VMMS_FAULT_POINTS)
	target_compile_definitions(vmms_flags INTERFACE VMMS_FAULT_POINTS)
endif()
if(VMMS_COVERAGE)
	target_compile_options(vmms_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
	target_link_options(vmms_flags INTERFACE -fprofile-instr-generate)
endif()
if(VMMS_FUZZ)
	target_compile_options(vmms_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# vmms_library(NAME SOURCES file... [DEPENDS folder...] [LIBRARIES pkg-config-module...])
function(vmms_library name)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;LIBRARIES")
	add_library(${name} STATIC ${arg_SOURCES})
	target_link_libraries(${name} PUBLIC vmms_flags Threads::Threads ${arg_DEPENDS})
	foreach(module IN LISTS arg_LIBRARIES)
		string(MAKE_C_IDENTIFIER PKG_${module} prefix)
		if(NOT TARGET PkgConfig::${prefix})
			pkg_check_modules(${prefix} REQUIRED IMPORTED_TARGET GLOBAL ${module})
		endif()
		target_link_libraries(${name} PUBLIC PkgConfig::${prefix})
	endforeach()
endfunction()
