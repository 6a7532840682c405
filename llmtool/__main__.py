from llmtool.cli.app import main

main()
