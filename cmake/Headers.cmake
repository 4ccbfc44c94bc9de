# Headers of the build environment, copied to a permanent folder. pip makes a new environment for each build, which
# would change every compiler command and recompile everything; a file is copied only if its content differs.

# The folder to include instead of `from`, which holds the headers <folder>/…
function(heedful_copy_headers from folder result)
  set(place ${PROJECT_BINARY_DIR}/headers)
  execute_process(COMMAND ${CMAKE_COMMAND} -E copy_directory_if_different ${from}/${folder} ${place}/${folder}
                  COMMAND_ERROR_IS_FATAL ANY)
  set(${result} ${place} PARENT_SCOPE)
endfunction()
