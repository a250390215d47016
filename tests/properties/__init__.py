"""What holds for every input there can be, tried with inputs that hypothesis makes up."""
