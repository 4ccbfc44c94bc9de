# Headers of the build environment, at a place that stays. pip makes a new environment for each build, so that every
# compiler command would change and everything be compiled again; a copy is written only where its content differs.

# The folder to include instead of `from`, which holds the headers <folder>/…
function(heedful_copy_headers from folder result)
  set(place ${PROJECT_BINARY_DIR}/headers)
  execute_process(COMMAND ${CMAKE_COMMAND} -E copy_directory_if_different ${from}/${folder} ${place}/${folder}
                  COMMAND_ERROR_IS_FATAL ANY)
  set(${result} ${place} PARENT_SCOPE)
endfunction()
